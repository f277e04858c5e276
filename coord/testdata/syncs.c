/* syncs FILE: a thread writes to the file at each SIGUSR1. The program copies its input to its output. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static int fd;

static void *work(void *set)
{
	int signal;

	while (sigwait(set, &signal) == 0)
		if (write(fd, "", 1) != 1 || fsync(fd))
			_exit(1);
	return NULL;
}

int main(int argc, char **argv)
{
	static sigset_t set;
	pthread_t thread;
	char c;

	fd = argc == 2 ? open(argv[1], O_CREAT | O_WRONLY, 0600) : -1;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (fd < 0 || pthread_create(&thread, NULL, work, &set))
		return 1;
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
