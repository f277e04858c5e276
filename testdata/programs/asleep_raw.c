/*
 * One thread sleeps by libc's syscall(2): no instruction near `syscall` holds the call's number. The argument is the length of each
 * sleep in microseconds; the default is 30 ms.
 */
#include "check.h"

#include <poll.h>

int main(int argc, char **argv)
{
	long ns = argc > 1 ? atol(argv[1]) * 1000 : 30000000;
	int ms = argc > 1 ? 1 : 30;
	struct timespec t = {0, ns}, until;

	ready();
	while (access("go", F_OK)) {
		if (syscall(SYS_nanosleep, &t, 0))
			fail("nanosleep");
		if (syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, 0))
			fail("clock_nanosleep");
		CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
		until.tv_nsec = (until.tv_nsec + ns) % 1000000000;
		if (syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0))
			fail("clock_nanosleep until");
		if (syscall(SYS_poll, 0, 0, ms))
			fail("poll");
		if (syscall(SYS_ppoll, 0, 0, &t, 0, 0))
			fail("ppoll");
	}
	pass();
}
