/* prctl(2), interposed to remember which tracer the program has named (tracer.c). It may be called after fork and vfork. */

#include <errno.h>
#include <linux/prctl.h>
#include <stdarg.h>

#include "resident.h"

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif

/*
 * The value is remembered before the call, so that a freeze between the two does not lose it. A child of vfork
 * names a tracer of its own, not of the process whose memory it uses.
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

/* As in the C library: four arguments are passed on, whatever there are. */
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
