/* Records the state of the calling thread when it parks: what the kernel tells only the thread itself. */

#include <errno.h>
#include <linux/prctl.h>
#include <linux/rseq.h>

#include "resident.h"

#define RSEQ_SIGNATURE 0x53053053 /* glibc's on x86 */

/* Since 2.35, glibc registers an area of restartable sequences for every thread, at this distance from the thread pointer. Older
 * versions lack these symbols. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static long change_rseq(void *area, unsigned length, int flags)
{
	return SYSCALL_4(SYS_rseq, area, length, flags, RSEQ_SIGNATURE);
}

/*
 * Finds out the rseq area of the thread. No system call shows it. But if an area is registered, registering another one fails,
 * and registering the same one again fails with another error, EBUSY (rseq_register in kernel/rseq.c). A thread that glibc
 * has not created may have no area, or one at another address.
 */
static void note_rseq(struct abi_thread *thread)
{
	struct {
		char bytes[32];
	} __attribute__((aligned(32))) scratch = { { 0 } };
	/* Since 2.40 __rseq_size is the size of the features. The registered size is a multiple of 32 bytes. */
	unsigned length = &__rseq_size && &__rseq_offset ? (__rseq_size + 31) & ~31u : 0;
	long error = change_rseq(&scratch, sizeof(scratch), 0);

	if (error == 0)
		change_rseq(&scratch, sizeof(scratch), RSEQ_FLAG_UNREGISTER);
	if (error == 0 || error == -ENOSYS)
		return;
	if (length == 0 || change_rseq((void *)(thread->fs_base + __rseq_offset), length, 0) != -EBUSY) {
		thread->flags |= ABI_THREAD_RSEQ;
		return;
	}
	thread->rseq = thread->fs_base + __rseq_offset;
	thread->rseq_length = length;
	thread->rseq_signature = RSEQ_SIGNATURE;
}

void thread_note(struct parked *parked, ucontext_t *context, const siginfo_t *info)
{
	struct abi_thread *thread = &parked->thread;

	*thread = (struct abi_thread){ .syscall = -1 };
	thread->tid = SYSCALL_0(SYS_gettid);
	thread->context = (uint64_t)&parked->context;
	frame_note(thread, context);
	frame_repeat_syscall(context, info, thread);
	note_rseq(thread);
	SYSCALL_3(SYS_get_robust_list, 0, &thread->robust_list, &thread->robust_length);
	SYSCALL_2(SYS_prctl, PR_GET_TID_ADDRESS, &thread->tid_address);
	SYSCALL_2(SYS_prctl, PR_GET_PDEATHSIG, &thread->death_signal);
	thread->timer_slack = SYSCALL_1(SYS_prctl, PR_GET_TIMERSLACK);
	cpu_note(thread);
	SYSCALL_5(SYS_get_mempolicy, &thread->policy, thread->nodes, 8 * sizeof(thread->nodes), NULL, 0);
}
