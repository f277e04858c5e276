/* The simplest program: counts, waits, and goes on counting. `counter MIB` also fills that much memory. */
#include "check.h"

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], 0, 10) << 20 : 0;
	char *memory = malloc(size + 1), line[32];
	int n = 0;

	CHECK(memory);
	fill(memory, size, 1);
	for (; n < 5; n++) {
		snprintf(line, sizeof line, "%d\n", n);
		say(line);
	}
	ready();
	await_go();
	for (; n < 10; n++) {
		snprintf(line, sizeof line, "%d\n", n);
		say(line);
	}
	check_filled(memory, size, 1);
	pass();
}
