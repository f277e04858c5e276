/* Finds out whether `own` belongs to the calling process. A child of vfork shares its parent's memory. */

#include <errno.h>

#include "resident.h"

/* The page is the last one of .bss (crak.ld): MADV_WIPEONFORK splits the mapping there, and nothing lies behind it. */
struct own own __attribute__((section(".bss.own")));

/*
 * Returns 1 if the page belongs to the calling process. A forked child finds an empty page and takes it at the first call. In a
 * child of vfork the page belongs to its parent, so the child must not change it.
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
