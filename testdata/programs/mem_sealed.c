/* Memfds that are sealed against writing and mapped for reading, one of them closed; a file that lost its name, mapped beyond its end. */
#include "check.h"

#include <sys/mman.h>

#define PAGE 4096
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static char *sealed(int *fd)
{
	char *memory;

	CHECK((*fd = memfd_create("sealed", MFD_ALLOW_SEALING)) >= 0);
	CHECK(ftruncate(*fd, 4 * PAGE) == 0);
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	CHECK(memory != MAP_FAILED);
	fill(memory, 4 * PAGE, 1);
	CHECK(munmap(memory, 4 * PAGE) == 0);
	CHECK(fcntl(*fd, F_ADD_SEALS, SEALS) == 0);
	memory = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, *fd, 0);
	CHECK(memory != MAP_FAILED);
	return memory;
}

static char *deleted(void)
{
	int fd = open("deleted", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *memory;

	CHECK(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0);
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	fill(memory, 2 * PAGE, 2);
	CHECK(unlink("deleted") == 0 && close(fd) == 0);
	return memory;
}

int main(void)
{
	int fd, closed;
	char *private = sealed(&fd), *lost = deleted();
	char *only = (sealed(&closed), mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, closed, 0));
	/* Before Linux 6.7 no shared mapping of a file with this seal is allowed. */
	char *shared = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(close(closed) == 0);
	ready();
	await_go();
	EQUAL(fcntl(fd, F_GET_SEALS), SEALS);
	check_filled(private, 4 * PAGE, 1);
	if (shared != MAP_FAILED) {
		check_filled(shared, 4 * PAGE, 1);
		CHECK(mprotect(shared, PAGE, PROT_READ | PROT_WRITE) < 0);
	}
	if (only != MAP_FAILED) {
		check_filled(only, 4 * PAGE, 1);
		CHECK(mprotect(only, PAGE, PROT_READ | PROT_WRITE) < 0 && errno == EACCES);
	}
	check_filled(lost, 2 * PAGE, 2);
	pass();
}
