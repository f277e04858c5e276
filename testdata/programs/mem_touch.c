/* Writes to all of its private memory again and again: with a twin, the kernel would copy all of it. */
#include "check.h"

#include <sys/mman.h>

#define MIB (1UL << 20)

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], 0, 10) : 64) * MIB;
	char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	fill(memory, size, 1);
	ready();
	for (char n = 1; access("go", F_OK); n++)
		for (size_t i = 0; i < size; i += 4096)
			memory[i] = n;
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = scramble(1 + i / 8);
	check_filled(memory, size, 1);
	pass();
}
