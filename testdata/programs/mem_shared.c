/* Shared anonymous memory, mapped twice: the other mapping and a child of fork see each write, also after a restart. */
#include "check.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define MIB (1UL << 20)

int main(void)
{
	char *one = mmap(0, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *other = mmap(0, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *alias, *part, *zero;
	int fd, status;
	pid_t child;

	CHECK(one != MAP_FAILED && other != MAP_FAILED);
	alias = mremap(one, 0, 4 * MIB, MREMAP_MAYMOVE); /* an old size of 0 maps a second time */
	CHECK(alias != MAP_FAILED && alias != one);
	part = mremap(alias + MIB, 0, MIB, MREMAP_MAYMOVE);
	CHECK(part != MAP_FAILED);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	zero = mmap(0, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(zero != MAP_FAILED);
	CHECK(close(fd) == 0);
	fill(one, 2 * MIB, 1);
	fill(other + MIB, MIB, 2);
	fill(zero, MIB, 3);

	ready();
	await_go();

	check_filled(alias, 2 * MIB, 1);
	check_zero(alias + 2 * MIB, 2 * MIB);
	check_filled(part, MIB, 1 + MIB / 8);
	check_zero(other, MIB);
	check_filled(other + MIB, MIB, 2);
	check_filled(zero, MIB, 3);
	fill(part, MIB, 4);
	check_filled(one + MIB, MIB, 4);
	check_filled(alias + MIB, MIB, 4);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		fill(one, MIB, 5);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	check_filled(alias, MIB, 5);
	pass();
}
