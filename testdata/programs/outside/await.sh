# await COMMAND…: waits until a command succeeds.
await() {
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 1500 ] || { echo "no success: $*"; cat screen messages; exit 1; }
		sleep 0.02 # no event tells what these commands look at
	done
}
