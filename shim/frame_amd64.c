/* The signal frame of amd64: what a thread was doing. */

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
 * Where EINTR does not say that nothing has happened. Linux has closed the descriptor when close(2) fails, and another
 * file may have its number by now. A file server that was interrupted may have made or removed the name.
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
 * A signal with a handler makes sleep, poll, epoll_wait and their like fail
 * with EINTR even with SA_RESTART (signal(7)). Nobody asked for this signal, so
 * the call is made again: the instruction pointer goes back to the syscall
 * instruction and rax to the call's number. The kernel does the same by itself
 * where it may; then rax is the number already.
 *
 * thread: where to note it; repeat_settle is then called before the return. NULL: the return is next.
 */
void frame_repeat_syscall(ucontext_t *context, const siginfo_t *info, struct abi_thread *thread)
{
	int number = -1;

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
	}
	if (!thread)
		repeat_settle(context);
}
