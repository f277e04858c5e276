# apart.sh COMMAND…: runs a command in the namespaces that this script is started in.
set -eu
ip link set lo up
getent passwd root sshd postgres >passwd || true
[ "$(id -u)" = 0 ] || echo "tester:x:$(id -u):$(id -g)::$PWD:/bin/sh" >>passwd
mount --bind passwd /etc/passwd
mount -t tmpfs tmpfs /run
mkdir /run/sshd
exec "$@"
