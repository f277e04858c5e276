/* Access to memory of the program that may not be mapped. A plain access could crash the program; a system call fails. */

#include <sys/mman.h>

#include "resident.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

/* Copies memory of the program. Returns 0, or -1 if not all of it can be read. The calling thread's TID stands for the process,
 * because the thread group leader may have exited. */
int copy_in(void *to, uint64_t address, size_t length)
{
	struct iovec here = { to, length };
	struct iovec there = { (void *)address, length };
	long n = SYSCALL_6(SYS_process_vm_readv, SYSCALL_0(SYS_gettid), &here, 1, &there, 1, 0);

	return n == (long)length ? 0 : -1;
}

int is_writable(uint64_t address, size_t length)
{
	uint64_t first = address & -4096ul;

	return SYSCALL_3(SYS_madvise, first, address + length - first, MADV_POPULATE_WRITE) == 0;
}
