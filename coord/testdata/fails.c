/* A program in which one thread looks for a program in eight directories (as execvp does) that none of them has, and does so again after a
 * millisecond. 20 threads sleep, and the main thread copies the input to the output. */
#include <pthread.h>
#include <unistd.h>

static void *sleeper(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void *fails(void *unused)
{
	for (;; usleep(1000))
		for (int i = 0; i < 8; i++)
			execl("/nowhere", "nowhere", NULL);
	return unused;
}

int main(void)
{
	pthread_t thread;
	char c;

	for (int i = 0; i < 20; i++)
		if (pthread_create(&thread, NULL, sleeper, NULL))
			return 1;
	if (pthread_create(&thread, NULL, fails, NULL))
		return 1;
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
