/* A thread that waits in vfork(2): vforks MILLISECONDS. At SIGUSR1 a thread makes a child by vfork, which ends after this time. The main
 * thread copies the input to the output. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int milliseconds;

static void *work(void *set)
{
	for (;;) {
		int signal;
		pid_t child;

		if (sigwait(set, &signal))
			continue;
		child = vfork();
		if (child == 0) {
			usleep(milliseconds * 1000); /* it is the time that the parent waits */
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static sigset_t set;
	pthread_t thread;
	char c;

	milliseconds = argc == 2 ? atoi(argv[1]) : 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, work, &set))
		return 1;
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
