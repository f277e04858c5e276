/* The clock for the bounds of the resident's waits. */

#include <time.h>

#include "resident.h"

long milliseconds(void)
{
	struct timespec now = { 0, 0 };

	SYSCALL_2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
