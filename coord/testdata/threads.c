/* Many threads: threads COUNT. Each counts. The main thread copies the input to the output, and waits for all at its end. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int over;

static void *work(void *unused)
{
	volatile long count = 0;

	while (!over) {
		count++;
		usleep(1000);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[256];
	int n = argc == 2 ? atoi(argv[1]) : 0, bad = 0;
	char c;

	for (int i = 0; i < n; i++)
		bad |= pthread_create(&threads[i], NULL, work, NULL);
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	over = 1;
	for (int i = 0; i < n; i++)
		bad |= pthread_join(threads[i], NULL);
	return bad;
}
