/* Dies of SIGABRT, or of SIGSEGV. */
#include "check.h"

#include <signal.h>

int main(int argc, char **argv)
{
	(void)argv;
	ready();
	await_go();
	if (argc == 1)
		abort();
	raise(SIGSEGV);
	return 0;
}
