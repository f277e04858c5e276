/*
 * Threads that block different signals, and one that waits with another mask (ppoll). The main thread copies the input to the output,
 * and exits with status 0 if SIGUSR1 has come once.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define THREADS 8

static volatile int come;

static void count(int signal)
{
	(void)signal;
	come++;
}

static void *work(void *number)
{
	long n = (long)number;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	for (int i = 0; i < n; i++)
		sigaddset(&mask, SIGRTMIN + i);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (n == THREADS - 1)
		sigfillset(&mask);
	while (ppoll(NULL, 0, NULL, &mask))
		;
	return NULL;
}

int main(void)
{
	struct sigaction action = { .sa_handler = count, .sa_flags = SA_RESTART };
	pthread_t thread;
	char c;

	sigaction(SIGUSR1, &action, NULL);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&thread, NULL, work, (void *)i);
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return come != 1;
}
