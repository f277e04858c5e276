/* Huge pages: transparent ones, or with "hugetlb" reserved ones, private and shared. */
#include "check.h"

#include <sys/mman.h>

#define HUGE (2UL << 20)

static char *map(int flags)
{
	char *p = mmap(0, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

int main(int argc, char **argv)
{
	int hugetlb = argc > 1 && !strcmp(argv[1], "hugetlb") ? MAP_HUGETLB : 0;
	char *private, *shared;

	if (hugetlb) {
		private = map(MAP_PRIVATE | MAP_HUGETLB);
		shared = map(MAP_SHARED | MAP_HUGETLB);
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
	CHECK(munmap(private, 4 * HUGE) == 0 && munmap(shared, 4 * HUGE) == 0);
	pass();
}
