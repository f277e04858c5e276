/* Orders to a thread: the freeze signal with the order in its siginfo (abi.h). */

#include "resident.h"

/* Sends an order to a thread of a process. Returns 0 or -errno. */
int queue_order(int pid, int tid, int order, uint64_t value, struct blocked_syscall blocked)
{
	siginfo_t info;
	unsigned *word = (unsigned *)&info;

	__builtin_memset(&info, 0, sizeof(info));
	info.si_signo = ABI_FREEZE_SIGNAL;
	info.si_errno = order;
	info.si_code = SI_QUEUE;
	info.si_value.sival_ptr = (void *)value;
	word[ABI_ORDER_MEMBERS] = own.members;
	word[ABI_ORDER_BLOCKED] = blocked.number;
	word[ABI_ORDER_IP] = blocked.ip;
	word[ABI_ORDER_ARGUMENTS] = blocked.arguments;
	word[ABI_ORDER_ARGUMENTS + 1] = blocked.arguments >> 32;
	return SYSCALL_4(SYS_rt_tgsigqueueinfo, pid, tid, ABI_FREEZE_SIGNAL, &info);
}

/* Sends an order to a thread of this process. Returns 0 or -errno. */
int queue_freeze_signal(int tid, int order, uint64_t value, struct blocked_syscall blocked)
{
	return queue_order(SYSCALL_0(SYS_getpid), tid, order, value, blocked);
}

struct blocked_syscall order_blocked_syscall(const siginfo_t *info)
{
	const unsigned *word = (const unsigned *)info;

	return (struct blocked_syscall){
		.number = (int)word[ABI_ORDER_BLOCKED],
		.ip = word[ABI_ORDER_IP],
		.arguments = word[ABI_ORDER_ARGUMENTS] | (uint64_t)word[ABI_ORDER_ARGUMENTS + 1] << 32,
	};
}

unsigned order_members(const siginfo_t *info)
{
	return ((const unsigned *)info)[ABI_ORDER_MEMBERS];
}
