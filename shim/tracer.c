/*
 * Yama (a security module of the kernel) lets a process be traced by its ancestors only, and by one process that it
 * names itself: prctl(2), PR_SET_PTRACER. The writer is no ancestor, so the initiator names it for as long as it takes its
 * orders. The kernel does not tell whom the program had named before: prctl.c remembers that, and it is named again at
 * the end.
 */

#include <linux/prctl.h>

#include "resident.h"

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif
#define ANY (~0ul) /* PR_SET_PTRACER_ANY */

/* pid: in our PID namespace; 0: outside of it, where no number names it. Then anybody is admitted whom the kernel would let
 * trace us without Yama. */
void tracer_admit(int pid)
{
	SYSCALL_2(SYS_prctl, PR_SET_PTRACER, pid > 0 ? (unsigned long)pid : ANY);
}

/* Where the program's own tracer has ended meanwhile, there is none. */
void tracer_dismiss(void)
{
	if (SYSCALL_2(SYS_prctl, PR_SET_PTRACER, load(&own.tracer)) < 0)
		SYSCALL_2(SYS_prctl, PR_SET_PTRACER, 0);
}

/* After a restart the number may be another process's. */
void tracer_come_back(void)
{
	if (load(&own.tracer) != ANY)
		store(&own.tracer, 0);
	tracer_dismiss();
}
