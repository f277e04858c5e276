/* Thousands of small mappings that cannot be merged. */
#include "check.h"

#include <sys/mman.h>

#define COUNT 8000
#define PAGE 4096UL

int main(void)
{
	char *area = mmap(0, 3 * COUNT * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(area != MAP_FAILED);
	for (uint64_t i = 0; i < COUNT; i++) {
		char *p = area + 3 * i * PAGE;
		fill(p, PAGE, i);
		CHECK(mprotect(p, PAGE, PROT_READ) == 0);
		if (i % 2)
			CHECK(munmap(p + PAGE, PAGE) == 0);
	}
	ready();
	await_go();
	for (uint64_t i = 0; i < COUNT; i++) {
		check_filled(area + 3 * i * PAGE, PAGE, i);
		fill(area + (3 * i + 2) * PAGE, PAGE, i);
	}
	CHECK(munmap(area, 3 * COUNT * PAGE) == 0);
	pass();
}
