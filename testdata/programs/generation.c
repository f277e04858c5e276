/* For many restarts in a row: the script makes a file round-N, and the program answers with a line ROUND N. */
#include "check.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int generation, seen[4], followed;

static void *follow(void *arg)
{
	int number = (int)(intptr_t)arg;

	pthread_mutex_lock(&mutex);
	while (generation >= 0) {
		while (generation == seen[number])
			pthread_cond_wait(&changed, &mutex);
		if (generation < 0)
			break;
		seen[number]++;
		EQUAL(seen[number], generation);
		followed++;
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&mutex);
	return 0;
}

int main(int argc, char **argv)
{
	int last = argc > 1 ? atoi(argv[1]) : 5;
	char *blocks[100] = {0}, text[32];
	pthread_t threads[4];

	for (intptr_t i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], 0, follow, (void *)i) == 0);
	pause_ms(20);
	ready();
	for (int n = 1; n <= last; n++) {
		snprintf(text, sizeof text, "%d", n);
		await_file(text);
		CHECK(blocks[n] = malloc(n * 100000));
		fill(blocks[n], n * 100000, n);
		for (int i = 1; i <= n; i++)
			check_filled(blocks[i], i * 100000, i);
		pthread_mutex_lock(&mutex);
		generation = n;
		followed = 0;
		pthread_cond_broadcast(&changed);
		while (followed < 4)
			pthread_cond_wait(&changed, &mutex);
		pthread_mutex_unlock(&mutex);
		snprintf(text, sizeof text, "GENERATION %d\n", n);
		say(text);
	}
	await_go();
	pthread_mutex_lock(&mutex);
	generation = -1;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 4; i++) {
		CHECK(pthread_join(threads[i], 0) == 0);
		EQUAL(seen[i], last);
	}
	pass();
}
