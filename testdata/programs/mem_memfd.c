/* A memfd mapped twice; its descriptor closed, or with "open" kept, and its seals with it. */
#include "check.h"

#include <sys/mman.h>

#define MIB (1UL << 20)
#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK)

int main(int argc, char **argv)
{
	int keep = argc > 1 && !strcmp(argv[1], "open");
	int fd = memfd_create("workload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *one, *two, *own;

	CHECK(fd >= 0 && ftruncate(fd, 4 * MIB) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, SEALS) == 0);
	one = mmap(0, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	two = mmap(0, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, MIB);
	own = mmap(0, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(one != MAP_FAILED && two != MAP_FAILED && own != MAP_FAILED);
	fill(one, 3 * MIB, 1);
	fill(own, 4096, 2);
	if (!keep)
		CHECK(close(fd) == 0);

	ready();
	await_go();

	check_filled(one, 3 * MIB, 1);
	check_zero(one + 3 * MIB, MIB);
	check_filled(two, MIB, 1 + MIB / 8);
	check_filled(own, 4096, 2);
	check_filled(own + 4096, MIB, 1 + 4096 / 8);
	fill(two, MIB, 3);
	check_filled(one + MIB, MIB, 3);
	check_filled(own + MIB, MIB, 3);
	if (keep) {
		EQUAL(fcntl(fd, F_GET_SEALS), SEALS);
		EQUAL(ftruncate(fd, MIB), -1);
		EQUAL(lseek(fd, 0, SEEK_END), 4 * MIB);
	}
	pass();
}
