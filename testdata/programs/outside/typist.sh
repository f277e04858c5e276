# typist.sh [END]: types lines when the session has begun. END is what it types at last.
until grep -qs '^line' screen; do
	sleep 0.02 # no event tells that
done
i=0
while [ $i -lt 60 ] || ! [ -e over ]; do
	i=$((i + 1))
	echo "typed $i"
	sleep 0.05
done
echo $i >count
printf "${1-}"
