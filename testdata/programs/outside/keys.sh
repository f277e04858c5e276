# Makes keys and settings for ssh, and for an sshd that executes session.sh.
mkdir -p keys
rm -f keys/*
ssh-keygen -q -t ed25519 -N '' -f keys/host
ssh-keygen -q -t ed25519 -N '' -f keys/user
cat >sshd_config <<END
Port 2222
ListenAddress 127.0.0.1
HostKey $PWD/keys/host
AuthorizedKeysFile $PWD/keys/user.pub
StrictModes no
UsePAM no
PidFile none
SetEnv LD_PRELOAD=${LD_PRELOAD-}
ForceCommand cd $PWD && exec sh session.sh
END
cat >ssh_config <<END
Host there
HostName 127.0.0.1
Port 2222
User $(id -un)
IdentityFile $PWD/keys/user
IdentityAgent none
UserKnownHostsFile $PWD/keys/known
StrictHostKeyChecking accept-new
LogLevel ERROR
END
sshd=$(command -v sshd) # it executes itself by its path
# serves waits until the server listens.
serves() { await grep -q ':08AE 0*:0000 0A' /proc/net/tcp; }
# compare checks that no line and no answer is lost, twice or changed.
compare() {
	grep '^line' screen >lines
	[ "$(wc -l <lines)" -gt 30 ]
	seq "$(wc -l <lines)" | sed 's/^/line /' | cmp - lines
	grep '^typed' screen >answers
	seq $(cat count) | sed 's/^/typed /' | cmp - answers
	echo 'ssh: nothing is lost'
}
