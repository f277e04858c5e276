/*
 * Huge pages: transparent ones, or with "hugetlb" reserved ones, private, shared, and in two memfds: one that is only open, and one
 * that is only mapped.
 */
#include "check.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define HUGE (2UL << 20)

static char *map(int flags)
{
	char *p = mmap(0, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static char *map_file(int fd)
{
	char *p = mmap(0, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

/* huge_file makes a memfd of one huge page. */
static int huge_file(const char *name, uint64_t seed)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);
	char *p;

	CHECK(fd >= 0 && ftruncate(fd, HUGE) == 0);
	p = map_file(fd);
	fill(p, HUGE, seed);
	CHECK(munmap(p, HUGE) == 0);
	return fd;
}

int main(int argc, char **argv)
{
	int hugetlb = argc > 1 && !strcmp(argv[1], "hugetlb") ? MAP_HUGETLB : 0;
	char *private, *shared, *mapped = 0, *again;
	int opened = -1, closed;
	struct stat st;

	if (hugetlb) {
		private = map(MAP_PRIVATE | MAP_HUGETLB);
		shared = map(MAP_SHARED | MAP_HUGETLB);
		opened = huge_file("opened", 6);
		CHECK(fcntl(opened, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
		closed = huge_file("closed", 7);
		mapped = map_file(closed);
		CHECK(close(closed) == 0);
	} else {
		private = map(MAP_PRIVATE);
		shared = map(MAP_SHARED);
		CHECK(madvise(private, 4 * HUGE, MADV_HUGEPAGE) == 0);
	}
	fill(private, HUGE, 1);
	fill(private + 2 * HUGE, HUGE, 2);
	fill(shared + HUGE, HUGE, 3);

	ready();
	await_go();

	check_filled(private, HUGE, 1);
	check_zero(private + HUGE, HUGE);
	check_filled(private + 2 * HUGE, HUGE, 2);
	check_zero(shared, HUGE);
	check_filled(shared + HUGE, HUGE, 3);
	fill(private + 3 * HUGE, HUGE, 4);
	fill(shared, HUGE, 5);
	check_filled(private + 3 * HUGE, HUGE, 4);
	if (hugetlb) {
		EQUAL(fcntl(opened, F_GET_SEALS), F_SEAL_SHRINK);
		CHECK(fstat(opened, &st) == 0);
		EQUAL(st.st_size, HUGE);
		EQUAL(st.st_blksize, HUGE);
		again = map_file(opened);
		check_filled(again, HUGE, 6);
		check_filled(mapped, HUGE, 7);
	}
	CHECK(munmap(private, 4 * HUGE) == 0 && munmap(shared, 4 * HUGE) == 0);
	pass();
}
