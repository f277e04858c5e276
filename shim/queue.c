/* How a thread of ours is told what to do: the freeze signal, with an order in its siginfo (abi.h). */

#include "resident.h"

/* number and ip: the system call that the thread was seen asleep in, and where; or -1. 0 or -errno. */
int queue_freeze_signal(int tid, int order, uint64_t value, int number, uint32_t ip)
{
	siginfo_t info;

	__builtin_memset(&info, 0, sizeof(info));
	info.si_signo = ABI_FREEZE_SIGNAL;
	info.si_errno = order;
	info.si_code = SI_QUEUE;
	((int *)&info)[ABI_ORDER_ASLEEP] = number;
	((int *)&info)[ABI_ORDER_IP] = ip;
	info.si_value.sival_ptr = (void *)value;
	return SYSCALL_4(SYS_rt_tgsigqueueinfo, SYSCALL_0(SYS_getpid), tid, ABI_FREEZE_SIGNAL, &info);
}
