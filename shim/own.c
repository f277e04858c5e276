/* Finds out whether `own` belongs to the calling process. A child of vfork shares its parent's memory. */

#include <errno.h>
#include <linux/kcmp.h>

#include "resident.h"

/* The page is the last one of .bss (crak.ld): MADV_WIPEONFORK splits the mapping there, and nothing lies behind it. */
struct own own __attribute__((section(".bss.own")));

/* Returns the PID of the parent if it shares its memory with the calling process, or 0. */
static int sharing_parent(int pid)
{
	int parent = SYSCALL_0(SYS_getppid);

	return SYSCALL_5(SYS_kcmp, pid, parent, KCMP_VM, 0, 0) == 0 ? parent : 0;
}

/*
 * Returns 1 if the page belongs to the calling process. A forked child finds an empty page and takes it at the first call. In a
 * child of vfork the page belongs to its parent, and the child must not change it. There is one exception: if the parent is a forked
 * child that has not taken the page yet, the child of vfork enters the parent as the owner.
 */
int is_ours(void)
{
	int pid = SYSCALL_0(SYS_getpid);
	int owner = load(&own.pid), parent;

	if (owner == pid)
		return 1;
	if (owner != 0 && SYSCALL_2(SYS_kill, owner, 0) != -ESRCH)
		return 0;
	parent = sharing_parent(pid);
	if (parent) {
		__atomic_compare_exchange_n(&own.pid, &owner, parent, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		return 0;
	}
	return __atomic_compare_exchange_n(&own.pid, &owner, pid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
