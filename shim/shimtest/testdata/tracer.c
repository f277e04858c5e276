/* The program of TestTracer: prctl.c and tracer.c with a stub of Yama, yama(). */

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "resident.h"

#define LIVING 412 /* a process that can be named */

struct own own;
static int owner = 1;
static long named; /* the tracer in the kernel */

int is_ours(void) { return owner; }

static long yama(long number, long option, long value)
{
	if (number != SYS_prctl || option != PR_SET_PTRACER)
		return syscall6(number, option, value, 0, 0, 0, 0);
	if (value != 0 && value != -1 && value != LIVING && value != LIVING + 1)
		return -EINVAL;
	named = value;
	return 0;
}

#define syscall6(number, option, value, c, d, e, f) yama(number, option, value)
#include "../../prctl.c"
#include "../../tracer.c"

static int failures;

static void expect(const char *what, long got, long want)
{
	if (got != want) {
		printf("%s: %ld instead of %ld\n", what, got, want);
		failures++;
	}
}

static void freeze(const char *what, int writer, long during, long after)
{
	tracer_allow(writer);
	expect(what, named, during);
	tracer_restore();
	expect(what, named, after);
}

int main(void)
{
	freeze("no tracer", LIVING, LIVING, 0);
	expect("prctl", prctl(PR_SET_PTRACER, LIVING + 1, 0, 0, 0), 0);
	freeze("a tracer", LIVING, LIVING, LIVING + 1);
	freeze("a writer outside of the PID namespace", 0, -1, LIVING + 1);

	errno = 0;
	expect("a tracer that is not there", prctl(PR_SET_PTRACER, 7), -1);
	expect("errno", errno, EINVAL);
	freeze("the one before it", LIVING, LIVING, LIVING + 1);

	owner = 0;
	expect("a child of vfork", prctl(PR_SET_PTRACER, LIVING), 0);
	owner = 1;
	freeze("its parent", LIVING, LIVING, LIVING + 1);

	own.tracer = 7; /* it has ended */
	freeze("a tracer that has ended", LIVING, LIVING, 0);

	own.tracer = LIVING;
	tracer_restarted();
	expect("a restart", named, 0);
	expect("any", prctl(PR_SET_PTRACER, -1l), 0);
	tracer_restarted();
	expect("any after a restart", named, -1);
	tracer_allow(LIVING);
	expect("while frozen", prctl(PR_SET_PTRACER, LIVING + 1), 0);
	tracer_restore();
	expect("named while frozen", named, LIVING + 1);

	expect("another option", prctl(PR_GET_DUMPABLE), 1);
	puts(failures ? "FAIL" : "PASS");
	return failures;
}
