i=0
while [ $i -lt 60 ] || ! [ -e over ]; do
	i=$((i + 1))
	echo "typed $i"
	sleep 0.05
done
echo $i >count
