/* One thread, asleep by libc's syscall(), which leaves nothing by which a handler could tell the call's number. */
#include "check.h"

#include <poll.h>

int main(void)
{
	struct timespec t = {0, 30000000}, until;

	ready();
	while (access("go", F_OK)) {
		if (syscall(SYS_nanosleep, &t, 0))
			fail("nanosleep");
		if (syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, 0))
			fail("clock_nanosleep");
		CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
		until.tv_nsec = (until.tv_nsec + 30000000) % 1000000000;
		if (syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0))
			fail("clock_nanosleep until");
		if (syscall(SYS_poll, 0, 0, 30))
			fail("poll");
		if (syscall(SYS_ppoll, 0, 0, &t, 0, 0))
			fail("ppoll");
	}
	pass();
}
