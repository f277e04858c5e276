/*
 * changes user|session|group: copies its input to its output. When its child gets SIGUSR1, the child changes its user, its session or
 * its process group.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int change(const char *what)
{
	if (!strcmp(what, "session"))
		return setsid() < 0;
	if (!strcmp(what, "group"))
		return setpgid(0, 0);
	return setgroups(0, NULL) || setresgid(12345, 12345, 12345) || setresuid(12345, 12345, 12345) ||
	       prctl(PR_SET_DUMPABLE, 1);
}

int main(int argc, char **argv)
{
	char line[100];
	ssize_t got;
	sigset_t set;
	int signal;
	pid_t child;

	if (argc != 2)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	child = fork();
	if (child == 0) {
		if (sigwait(&set, &signal) || change(argv[1]))
			_exit(1);
		for (;;)
			pause();
	}
	while ((got = read(0, line, sizeof line)) > 0)
		if (write(1, line, got) != got)
			return 1;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}
