/*
 * The descriptors that the resident has open for a moment. Another thread of the program can fork meanwhile, as long as it has not parked.
 * The child then closes its copies.
 */

#include "resident.h"

#define OPEN_MAX 8

static int open[OPEN_MAX]; /* each plus 1; 0: free. Not in `own`, which a fork clears */

/* Returns the descriptor. If the table is full, a child keeps its copy. */
int descriptor_opened(int fd)
{
	for (int i = 0; fd >= 0 && i < OPEN_MAX; i++) {
		int free = 0;

		if (__atomic_compare_exchange_n(&open[i], &free, fd + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			break;
	}
	return fd;
}

/* The entry is freed first: from the close on, the program may get the number. */
void descriptor_close(int fd)
{
	for (int i = 0; i < OPEN_MAX; i++) {
		int entry = fd + 1;

		if (__atomic_compare_exchange_n(&open[i], &entry, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			break;
	}
	SYSCALL_1(SYS_close, fd);
}

/* Runs in a forked child. */
void descriptors_forked(void)
{
	for (int i = 0; i < OPEN_MAX; i++)
		if (open[i])
			descriptor_close(open[i] - 1);
}

/* Called after a restart, which does not make these descriptors. */
void descriptors_forget(void)
{
	for (int i = 0; i < OPEN_MAX; i++)
		store(&open[i], 0);
}
