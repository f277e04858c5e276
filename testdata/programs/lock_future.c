/* mlockall(2) with MCL_FUTURE, when nothing is locked yet. An argument "fault" adds MCL_ONFAULT. */
#include "check.h"
#include <sys/mman.h>

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
	int on_fault = argc > 1 && strcmp(argv[1], "fault") == 0;
	unsigned char in = 0;
	char *page;

	CHECK(mlockall(MCL_FUTURE | (on_fault ? MCL_ONFAULT : 0)) == 0);
	ready();
	await_go();
	CHECK((page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	CHECK(msync(page, PAGE, MS_INVALIDATE) == -1 && errno == EBUSY);
	CHECK(mincore(page, PAGE, &in) == 0);
	EQUAL(in & 1, !on_fault);
	pass();
}
