/* Waits for a word to change (futex(2)). Only one process uses the words, so the futexes are private. */

#include <linux/futex.h>
#include <time.h>

#include "resident.h"

/* nanoseconds: 0 means no limit. The function may return early, so callers check the word again. */
void futex_wait(unsigned *word, unsigned value, long nanoseconds)
{
	struct timespec timeout = { nanoseconds / 1000000000, nanoseconds % 1000000000 };

	SYSCALL_4(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nanoseconds ? &timeout : NULL);
}

/* For a word that the kernel clears (CLONE_CHILD_CLEARTID). The kernel then wakes waiters of a futex that is not private. */
void futex_wait_for_kernel(unsigned *word, unsigned value, long nanoseconds)
{
	struct timespec timeout = { nanoseconds / 1000000000, nanoseconds % 1000000000 };

	SYSCALL_4(SYS_futex, word, FUTEX_WAIT, value, &timeout);
}

void futex_wake_all(unsigned *word)
{
	SYSCALL_3(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff);
}
