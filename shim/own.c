/* Whose process this is: memory comes to a forked child as a copy, and to a child of vfork as it is. */

#include <errno.h>

#include "resident.h"

/* Last, so that the page splits no other memory of ours off (crak.ld). */
struct own own __attribute__((section(".bss.own")));

/*
 * 1 in the process that the page belongs to, which a forked child makes its own as it
 * first asks. A child of vfork leaves everything to its parent: what it did would be done
 * to that one.
 */
int is_ours(void)
{
	int pid = SYSCALL_0(SYS_getpid);
	int owner = load(&own.pid);

	if (owner == pid)
		return 1;
	if (owner != 0 && SYSCALL_2(SYS_kill, owner, 0) != -ESRCH)
		return 0;
	return __atomic_compare_exchange_n(&own.pid, &owner, pid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
