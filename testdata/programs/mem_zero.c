/*
 * Zero pages, touched or not, are neither stored nor touched: half of 256 MiB is random, the rest and 8 GiB more are zero.
 * Some were written with zeroes: a page that was only read is the same on a kernel without a shared zero page.
 */
#include "check.h"

#include <sys/mman.h>

#define MIB (1UL << 20)

static long resident_mib(void)
{
	char text[8192], *line;

	slurp("/proc/self/status", text, sizeof text);
	line = strstr(text, "\nVmRSS:");
	CHECK(line);
	return atol(line + 7) / 1024;
}

int main(int argc, char **argv)
{
	size_t half = (argc > 1 ? strtoul(argv[1], 0, 10) : 256) * MIB / 2;
	char *memory = mmap(0, 2 * half, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *sparse = mmap(0, 8192 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	volatile char sum = 0;
	long resident;

	CHECK(memory != MAP_FAILED && sparse != MAP_FAILED);
	CHECK(madvise(sparse, 8192 * MIB, MADV_NOHUGEPAGE) == 0);
	fill(memory, half, 1);
	memset(memory + half, 0, half);
	for (size_t i = 0; i < 64 * MIB; i += 4096)
		sum += sparse[i];
	memset(sparse + 64 * MIB, 0, 64 * MIB);
	fill(sparse + 4096 * MIB, 4096, 2);

	resident = resident_mib();
	ready();
	await_go();

	if (resident_mib() > resident + 16)
		fail("%ld MiB resident, %ld before", resident_mib(), resident);
	check_filled(memory, half, 1);
	check_zero(memory + half, half);
	check_filled(sparse + 4096 * MIB, 4096, 2);
	check_zero(sparse, 4 * MIB);
	check_zero(sparse + 64 * MIB, 64 * MIB);
	pass();
}
