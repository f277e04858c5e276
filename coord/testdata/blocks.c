/* A thread that blocks every signal, also those that the C library never blocks. The main thread copies the input to the output. */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *work(void *unused)
{
	unsigned long all = ~0ul;

	syscall(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, 0, sizeof all);
	for (;;)
		pause();
	return unused;
}

int main(void)
{
	pthread_t thread;
	char c;

	if (pthread_create(&thread, 0, work, 0))
		return 2;
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	_exit(0);
}
