/*
 * A storm of processes: storm KINDS LEAF. For each letter of KINDS a child does this again and again, until SIGTERM:
 *
 *	f  forks a child, which forks another one; each of them exits at once
 *	e  forks a child, which executes LEAF
 *	s  runs LEAF by posix_spawn, where the parent waits in vfork
 *	t  creates a thread, which ends at once
 *	z  forks two children, and waits only for the first one at once
 *
 * The root copies its input to its output, and at its end waits for its children: the exit status is 0 if each process was well.
 * With no arguments the program is the leaf: it exits at once.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t over;

static void end(int signal)
{
	(void)signal;
	over = 1;
}

static int wait_for(pid_t pid)
{
	int status;

	return pid <= 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

static void *ends(void *unused)
{
	return unused;
}

static int forks(int depth)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(depth ? forks(depth - 1) : 0);
	return wait_for(pid);
}

static int executes(const char *leaf)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(leaf, leaf, NULL);
		_exit(1);
	}
	return wait_for(pid);
}

static int spawns(const char *leaf)
{
	char *argv[] = { (char *)leaf, NULL };
	pid_t pid;

	return posix_spawn(&pid, leaf, NULL, NULL, argv, environ) || wait_for(pid);
}

static int threads(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, ends, NULL) || pthread_join(thread, NULL);
}

static int leaves_zombies(void)
{
	pid_t first = fork(), second;

	if (first == 0)
		_exit(0);
	second = fork();
	if (second == 0)
		_exit(0);
	return wait_for(first) | wait_for(second);
}

static int work(char kind, const char *leaf)
{
	int bad = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!over && !bad)
		bad = kind == 'f' ? forks(1) :
		      kind == 'e' ? executes(leaf) :
		      kind == 's' ? spawns(leaf) :
		      kind == 't' ? threads() :
				    leaves_zombies();
	return bad;
}

int main(int argc, char **argv)
{
	int children[64], n = argc == 3 ? strlen(argv[1]) : 0, bad = 0, status;
	char c;

	if (argc != 3)
		return 0;
	signal(SIGTERM, end);
	for (int i = 0; i < n; i++)
		if ((children[i] = fork()) == 0)
			exit(work(argv[1][i], argv[2]));
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	for (int i = 0; i < n; i++) {
		kill(children[i], SIGTERM);
		bad |= waitpid(children[i], &status, 0) != children[i] || status;
	}
	return bad;
}
