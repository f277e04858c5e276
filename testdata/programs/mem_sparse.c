/* A thousand pages far apart: more ranges in one mapping than one PAGEMAP_SCAN call returns. */
#include "check.h"

#include <sys/mman.h>

#define PAGES 1500L
#define STRIDE (1L << 30)

int main(void)
{
	char *memory = mmap(NULL, PAGES * STRIDE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(memory != MAP_FAILED);
	CHECK(madvise(memory, PAGES * STRIDE, MADV_NOHUGEPAGE) == 0);
	for (long i = 0; i < PAGES; i++)
		*(long *)(memory + i * STRIDE) = i + 1;
	ready();
	await_go();
	for (long i = 0; i < PAGES; i++)
		EQUAL(*(long *)(memory + i * STRIDE), i + 1);
	pass();
}
