/* mem_tally PAGES: counts in a file of this size through a shared mapping. */
#include "check.h"

#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t size = 4096 * (argc > 1 ? atoi(argv[1]) : 1);
	int fd = open("tally.map", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	volatile unsigned char *tally;

	CHECK(ftruncate(fd, size) == 0);
	tally = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(tally != MAP_FAILED);
	CHECK(close(fd) == 0);
	for (size_t at = 0; at < size; at += 4096)
		tally[at] = 60;
	ready();
	await_go();
	for (size_t at = 0; at < size; at += 4096)
		tally[at]++;
	pass();
}
