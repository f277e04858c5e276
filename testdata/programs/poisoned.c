/*
 * A program with AddressSanitizer has blocks on the heap, and has freed some of them. After a restart the shadow memory must say the same
 * about each byte, and the allocator must work. Without AddressSanitizer the program checks only the blocks.
 */
#include <pthread.h>

#include "check.h"

enum { BLOCKS = 1000 };

extern int __asan_address_is_poisoned(const volatile void *) __attribute__((weak));

static unsigned char *block[BLOCKS];

static size_t length(int i)
{
	return 16 + i * 7 % 5000;
}

/* Whether the shadow memory allows access to the bytes of a block and not to the byte after it. */
static void check(int i)
{
	size_t n = length(i);

	if (i % 3 != 0)
		CHECK(block[i][0] == i % 251 && block[i][n - 1] == i % 251);
	if (!__asan_address_is_poisoned)
		return;
	EQUAL(__asan_address_is_poisoned(block[i]), i % 3 == 0);
	EQUAL(__asan_address_is_poisoned(block[i] + n - 1), i % 3 == 0);
	CHECK(__asan_address_is_poisoned(block[i] + n));
}

/* Allocates and frees all the time, also during a checkpoint. */
static void *busy(void *over)
{
	while (!__atomic_load_n((int *)over, __ATOMIC_ACQUIRE)) {
		char *p = malloc(1000);

		memset(p, 1, 1000);
		free(p);
	}
	return NULL;
}

int main(void)
{
	static int over;
	pthread_t thread;

	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(length(i));
		memset(block[i], i % 251, length(i));
	}
	for (int i = 0; i < BLOCKS; i += 3)
		free(block[i]); /* AddressSanitizer keeps it in quarantine: it is not given out again */
	CHECK(pthread_create(&thread, NULL, busy, &over) == 0);
	ready();
	await_go();
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	CHECK(pthread_join(thread, NULL) == 0);
	for (int i = 0; i < BLOCKS; i++)
		check(i);
	pass();
}
