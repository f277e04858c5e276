/*
 * With the security module Yama, only its ancestors may trace a process, and one more process that it names itself (prctl(2),
 * PR_SET_PTRACER). The writer is no ancestor of the program. So the initiator names the writer while it takes the writer's
 * orders, and names the program's own tracer again at the end. The kernel does not show which tracer the program has named,
 * so prctl.c records it.
 */

#include <linux/prctl.h>

#include "resident.h"

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif
#define ANY (~0ul) /* PR_SET_PTRACER_ANY */

/* pid: of the writer in the program's PID namespace; 0: the writer is outside of that namespace and cannot be named. Then Yama
 * is told to admit any process; the kernel's other checks still apply. */
void tracer_allow(int pid)
{
	SYSCALL_2(SYS_prctl, PR_SET_PTRACER, pid > 0 ? (unsigned long)pid : ANY);
}

/* Names the program's own tracer again, or none if that process has ended. */
void tracer_restore(void)
{
	if (SYSCALL_2(SYS_prctl, PR_SET_PTRACER, load(&own.tracer)) < 0)
		SYSCALL_2(SYS_prctl, PR_SET_PTRACER, 0);
}

/* After a restart the PID of the tracer may belong to another process, so the program has no tracer then. */
void tracer_restarted(void)
{
	if (load(&own.tracer) != ANY)
		store(&own.tracer, 0);
	tracer_restore();
}
