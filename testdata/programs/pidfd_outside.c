/* Has a pidfd of process 1 as descriptor 9. */
#include "check.h"

int main(void)
{
	CHECK(dup2(syscall(SYS_pidfd_open, 1, 0), 9) == 9);
	CHECK(close(3) == 0);
	ready();
	await_go();
	pass();
}
