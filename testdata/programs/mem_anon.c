/* Private anonymous memory: patterns, every protection, holes, and a mapping far larger than the machine. */
#include "check.h"

#include <sys/mman.h>

#define MIB (1UL << 20)
#define TIB (1UL << 40)

static void *map(size_t size, int prot, int flags)
{
	void *p = mmap(0, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

/* readable asks the kernel by a system call: a fault would cause a signal. */
static int readable(const void *p)
{
	ssize_t n;
	int pipes[2];

	CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	n = write(pipes[1], p, 1);
	close(pipes[0]);
	close(pipes[1]);
	return n == 1;
}

int main(void)
{
	char *random = map(16 * MIB, PROT_READ | PROT_WRITE, 0);
	char *locked = map(MIB, PROT_READ | PROT_WRITE, 0);
	char *constant = map(MIB, PROT_READ | PROT_WRITE, 0);
	char *hidden = map(MIB, PROT_READ | PROT_WRITE, 0);
	char *never = map(64 * MIB, PROT_NONE, 0);
	char *vast = map(TIB, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	unsigned char *code = map(4096, PROT_READ | PROT_WRITE, 0);
	static const unsigned char answer[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */
	int (*call)(void) = (int (*)(void))(uintptr_t)code;

	fill(random, 16 * MIB, 1);
	CHECK(munmap(random + 4 * MIB, MIB) == 0);
	CHECK(madvise(random + 8 * MIB, MIB, MADV_DONTNEED) == 0);
	fill(locked, MIB, 2);
	CHECK(mlock(locked, 16384) == 0);
	fill(constant, MIB, 3);
	CHECK(mprotect(constant, MIB, PROT_READ) == 0);
	fill(hidden, MIB, 4);
	CHECK(mprotect(hidden, MIB, PROT_NONE) == 0);
	for (uint64_t i = 0; i < 8; i++)
		fill(vast + i * (TIB / 8) + i * 4096, 4096, i);
	memcpy(code, answer, sizeof answer);
	CHECK(mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0);

	ready();
	await_go();

	check_filled(random, 4 * MIB, 1);
	CHECK(!readable(random + 4 * MIB));
	check_filled(random + 5 * MIB, 3 * MIB, 1 + 5 * MIB / 8);
	check_zero(random + 8 * MIB, MIB);
	check_filled(random + 9 * MIB, 7 * MIB, 1 + 9 * MIB / 8);
	check_filled(locked, MIB, 2);
	check_filled(constant, MIB, 3);
	CHECK(!readable(hidden));
	CHECK(!readable(never));
	CHECK(mprotect(hidden, MIB, PROT_READ) == 0);
	check_filled(hidden, MIB, 4);
	for (uint64_t i = 0; i < 8; i++) {
		check_filled(vast + i * (TIB / 8) + i * 4096, 4096, i);
		check_zero(vast + i * (TIB / 8) + i * 4096 + 4096, 4096);
	}
	EQUAL(call(), 42);

	/* After MADV_DONTNEED the program must read zeroes, not the restored content. */
	CHECK(madvise(random, MIB, MADV_DONTNEED) == 0);
	check_zero(random, MIB);
	/* The program can unmap a mapping and map it again. */
	CHECK(munmap(vast, TIB) == 0);
	fill(map(MIB, PROT_READ | PROT_WRITE, 0), MIB, 9);
	pass();
}
