/* What a thread notes of itself as it parks: all that nobody else can ask the kernel for. */

#include <linux/prctl.h>

#include "resident.h"

#define RSEQ_SIGNATURE 0x53053053 /* of glibc on x86 */

/* glibc 2.35 registers an area of restartable sequences for every thread, at this
 * distance from the thread pointer. Absent in older ones. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static void note_rseq(struct abi_thread *thread)
{
	if (!&__rseq_size || !&__rseq_offset || __rseq_size == 0)
		return;
	thread->rseq = thread->fs_base + __rseq_offset;
	/* The size is that of the features since 2.40; registered are at least 32 bytes, in whole 32s. */
	thread->rseq_length = (__rseq_size + 31) & ~31u;
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
}
