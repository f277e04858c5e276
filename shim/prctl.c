/* prctl(2) is interposed to record which tracer the program names (tracer.c). Programs may call it after fork and vfork. */

#include <errno.h>
#include <linux/prctl.h>
#include <stdarg.h>

#include "resident.h"

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif

/*
 * The tracer is recorded before the system call, so that it is not lost if a freeze comes in between. In a child of vfork it is
 * not recorded: `own` belongs to the child's parent, and the child names a tracer for itself.
 */
static long name_tracer(unsigned long tracer)
{
	unsigned long before = load(&own.tracer);
	int ours = is_ours();
	long result;

	if (ours)
		store(&own.tracer, tracer);
	result = SYSCALL_2(SYS_prctl, PR_SET_PTRACER, tracer);
	if (ours && result < 0)
		__atomic_compare_exchange_n(&own.tracer, &tracer, before, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return result;
}

/* Always passes on four arguments, as the C library does. */
EXPORT int prctl(int option, ...)
{
	unsigned long arguments[4];
	va_list list;
	long result;

	va_start(list, option);
	for (int i = 0; i < 4; i++)
		arguments[i] = va_arg(list, unsigned long);
	va_end(list);
	if (option == PR_SET_PTRACER)
		result = name_tracer(arguments[0]);
	else
		result = SYSCALL_5(SYS_prctl, option, arguments[0], arguments[1], arguments[2], arguments[3]);
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return result;
}
