/* Publishes counters in a mapped file whose descriptor it has closed, as the JVM does (hsperfdata). */
#include "check.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define SIZE (5 * 4096 + 100)

int main(void)
{
	int fd;
	volatile char *counters;

	CHECK(mkdir("counters", 0700) == 0);
	fd = open("counters/data", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(ftruncate(fd, SIZE) == 0);
	counters = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(counters != MAP_FAILED);
	CHECK(close(fd) == 0);
	memset((void *)counters, 1, SIZE);

	ready();
	await_go();

	for (int i = 0; i < SIZE; i++)
		counters[i]++;
	for (int i = 1; i < SIZE; i++)
		CHECK(counters[i] == counters[0]);
	say(counters[0] == 1 ? "FROM ZERO\n" : "GOES ON\n");
	pass();
}
