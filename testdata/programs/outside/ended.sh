# ended.sh COMMAND…: runs a command. At two random moments it is ended by its checkpoint, and restarted half a second later. What it prints
# is in the file screen. The command goes on until there is the file over.
set -eu
. ./await.sh
: >screen # there may be another session's
rm -f over
begun() { [ -s status ] || ! kill -0 $program; }
crak run --close-fds "$@" </dev/null >screen 2>messages &
program=$!
own=$program
await grep -a . screen
for round in 1 2; do
	sleep 0.$(shuf -i 100-900 -n 1)
	image=$(crak checkpoint --kill $own) || { cat screen messages; exit 1; }
	wait $program || true
	sleep 0.5 # the server sends, and nobody answers
	: >status
	crak restart --status-fd 3 $image 3>status </dev/null >>screen 2>>messages &
	program=$!
	await begun
	own=$(cat status)
done
: >over
wait $program || { cat screen messages; exit 1; }
