/* The signal frame of amd64: what a thread was doing, and the system call that it is to make again. */

#include <errno.h>
#include <sys/uio.h>

#include "resident.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])

static int syscall_number(uint64_t ip, const siginfo_t *);

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
	number = syscall_number(ip, info);
	if (number < 0)
		return;
	REGISTER(context, RAX) = number;
	REGISTER(context, RIP) = ip - 2;
	if (thread) {
		thread->ip = ip - 2;
		thread->syscall = number;
	}
}

/* The number is in `mov $number,%eax` before the instruction, as in glibc's wrappers, or
 * was seen in /proc by whoever sent the signal. The code is read by a call that cannot fault. */
static int syscall_number(uint64_t ip, const siginfo_t *info)
{
	unsigned char code[7];
	struct iovec here = { code, sizeof(code) };
	struct iovec there = { (void *)(ip - sizeof(code)), sizeof(code) };
	int number;

	if (syscall6(SYS_process_vm_readv, SYSCALL_0(SYS_getpid), (long)&here, 1, (long)&there, 1, 0) !=
	    sizeof(code))
		return -1;
	if (code[5] != 0x0f || code[6] != 0x05)
		return -1;
	__builtin_memcpy(&number, code + 1, sizeof(number));
	if (code[0] == 0xb8 && number >= 0 && number < 1024)
		return number;
	if (info && info->si_pid >= 0 && info->si_uid == (uint32_t)ip)
		return info->si_pid;
	return -1;
}
