/* The signal frame on amd64: what the thread was doing when the signal came. */

#include <errno.h>

#include "resident.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])

void frame_note(struct abi_thread *thread, const ucontext_t *context)
{
	thread->frame = (uint64_t)context;
	thread->ip = REGISTER(context, RIP);
	thread->sp = REGISTER(context, RSP);
	thread->altstack = (uint64_t)context->uc_stack.ss_sp;
	thread->altstack_size = context->uc_stack.ss_size;
	thread->altstack_flags = context->uc_stack.ss_flags;
	__builtin_memcpy(&thread->mask, &context->uc_sigmask, sizeof(thread->mask));
	SYSCALL_2(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &thread->fs_base);
	SYSCALL_2(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &thread->gs_base);
}

/*
 * Returns 0 for calls that may have had their effect even if they fail with EINTR. Linux has closed the descriptor when close(2)
 * fails, and another file may have its number by now. With a network file system, the server may have created or removed
 * the name.
 */
static int may_repeat(int number)
{
	switch (number) {
	case SYS_close:
	case SYS_mkdir:
	case SYS_mkdirat:
	case SYS_mknod:
	case SYS_mknodat:
	case SYS_link:
	case SYS_linkat:
	case SYS_symlink:
	case SYS_symlinkat:
	case SYS_rename:
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_unlink:
	case SYS_unlinkat:
	case SYS_rmdir:
		return 0;
	}
	return 1;
}

/*
 * Handles a signal that comes just after SIGCONT. The kernel has prepared the frame of a stopped sleep to make the call
 * restart_syscall(2) in place of the sleep. But rt_sigreturn, by which our handler returns, makes that call fail with EINTR
 * (restore_sigcontext in arch/x86/kernel/signal_64.c). So the frame is changed to one of an interrupted call. Returns 1 if it was.
 */
static int undo_restart(ucontext_t *context)
{
	if (REGISTER(context, RAX) != SYS_restart_syscall)
		return 0;
	REGISTER(context, RAX) = -EINTR;
	REGISTER(context, RIP) += 2;
	return 1;
}

/*
 * Changes the frame so that the thread makes an interrupted system call again.
 *
 * A signal handler makes calls like nanosleep, poll and epoll_wait fail with EINTR even with SA_RESTART (signal(7)). The
 * program does not expect that from a signal of CRAK. So the resident sets the instruction pointer back to the syscall
 * instruction and rax to the number of the call. For other calls the kernel has done the same already; then rax is not -EINTR.
 *
 * A call that has transferred a part of its data goes on with the rest (rest_amd64.c).
 *
 * thread: the record that gets the number of the call. The caller then calls repeat_settle before the handler returns. NULL: the
 * handler returns next.
 */
void frame_repeat_syscall(ucontext_t *context, const siginfo_t *info, struct abi_thread *thread)
{
	int number = rest_of(context, info), undone = undo_restart(context);

	if (number >= 0 && thread) {
		thread->ip = REGISTER(context, RIP);
		thread->syscall = number;
	}
	if (number >= 0)
		return;
	if (REGISTER(context, RAX) == -EINTR) {
		number = repeat_number(context);
		if (number < 0)
			number = interrupted_syscall(context, info);
	}
	if (number >= 0 && may_repeat(number)) {
		REGISTER(context, RIP) = repeat_from(context, number);
		REGISTER(context, RAX) = number;
		if (thread) {
			thread->ip = REGISTER(context, RIP);
			thread->syscall = number;
		}
	} else if (undone) {
		REGISTER(context, RAX) = SYS_restart_syscall;
		REGISTER(context, RIP) -= 2;
	}
	if (!thread)
		repeat_settle(context);
}
