/* ahead SECONDS PROGRAM ARGS…: executes the program in a time namespace whose monotonic and boot-time clocks are ahead. */
#include "check.h"

#include <sched.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

int main(int argc, char **argv)
{
	char text[100];
	int offsets, children, n;

	CHECK(argc > 2);
	CHECK(unshare(CLONE_NEWTIME) == 0);
	n = snprintf(text, sizeof text, "monotonic %s 0\nboottime %s 0\n", argv[1], argv[1]);
	CHECK((offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC)) >= 0);
	CHECK(write(offsets, text, n) == n);
	CHECK((children = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC)) >= 0);
	CHECK(setns(children, CLONE_NEWTIME) == 0);
	execv(argv[2], argv + 2);
	fail("%s", argv[2]);
}
