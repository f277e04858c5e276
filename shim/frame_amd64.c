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
 * A signal with a handler makes sleep, poll, epoll_wait and their like fail
 * with EINTR even with SA_RESTART (signal(7)). Nobody asked for this signal, so
 * the call is made again: the instruction pointer goes back to the syscall
 * instruction and rax to the call's number. The kernel does the same by itself
 * where it may; then rax is the number already.
 */
void frame_repeat_syscall(ucontext_t *context, const siginfo_t *info, struct abi_thread *thread)
{
	uint64_t ip = REGISTER(context, RIP);
	int number;

	if (REGISTER(context, RAX) != -EINTR)
		return;
	number = interrupted_syscall(context, info);
	if (number < 0)
		return;
	REGISTER(context, RAX) = number;
	REGISTER(context, RIP) = ip - 2;
	if (thread) {
		thread->ip = ip - 2;
		thread->syscall = number;
	}
}
