# Prints all the time, and repeats what it reads.
[ ! -t 0 ] || stty -echo -onlcr
tick() {
	i=0
	until [ -e done ]; do
		i=$((i + 1))
		echo "line $i"
		sleep 0.01
	done
}
rm -f done
tick &
while read line; do
	echo "$line"
done
: >done
wait
