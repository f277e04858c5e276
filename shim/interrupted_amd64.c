/*
 * Which system call was interrupted: its number was in rax, where the result
 * is now. It is found, in this order,
 *
 *	b8 nn nn 00 00   mov $nr,%eax     before the instruction (most of glibc)
 *	[44] 89 xx       mov %reg,%eax    before it: system calls keep the register
 *	                                  what /proc said as the signal was sent
 *	b8 nn nn 00 00   mov $nr,%eax     farther before it
 *	bf nn nn 00 00   mov $nr,%edi     before the call of syscall(3)
 *
 * The last two might be bytes of something else, so they count only for calls
 * that a handler interrupts in spite of SA_RESTART (signal(7)); of the others
 * the kernel takes care.
 */


#include "resident.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])
#define REACH 64 /* how far back to look, in bytes */

struct code {
	unsigned char bytes[REACH];
	int length; /* of what could be read; it ends at the address asked for */
};

/* A call that cannot fault, on a thread of ours that lives: the process's main thread may not. */
static struct code code_before(uint64_t address)
{
	struct code code = { .length = 0 };
	int tid = SYSCALL_0(SYS_gettid);

	for (int length = REACH; length >= 8; length /= 2) {
		struct iovec here = { code.bytes, length };
		struct iovec there = { (void *)(address - length), length };

		if (syscall6(SYS_process_vm_readv, tid, (long)&here, 1, (long)&there, 1, 0) == length) {
			code.length = length;
			break;
		}
	}
	return code;
}

static int immediate(const unsigned char *p)
{
	int value;

	__builtin_memcpy(&value, p, sizeof(value));
	return value >= 0 && value < 1024 ? value : -1;
}

static int is_interruptible(int number)
{
	static const short calls[] = {
		SYS_accept, SYS_accept4, SYS_clock_nanosleep, SYS_connect, SYS_epoll_pwait, SYS_epoll_pwait2,
		SYS_epoll_wait, SYS_futex, 449 /* futex_waitv */, 455 /* futex_wait */, SYS_io_getevents,
		SYS_msgrcv, SYS_msgsnd, SYS_nanosleep, SYS_pause, SYS_poll, SYS_ppoll, SYS_pselect6, SYS_recvfrom,
		SYS_recvmmsg, SYS_recvmsg, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_select, SYS_semop,
		SYS_semtimedop, SYS_sendmsg, SYS_sendto,
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == number)
			return 1;
	return 0;
}

/* The nearest `opcode imm32` that ends at `end` or before. */
static int search(const struct code *code, int end, unsigned char opcode)
{
	for (int at = end - 5; at >= 0; at--)
		if (code->bytes[at] == opcode && is_interruptible(immediate(code->bytes + at + 1)))
			return immediate(code->bytes + at + 1);
	return -1;
}

/* mov %reg,%eax: opcode 89, eax as its target; a REX prefix of 44 adds 8 to the register's number. */
static int from_register(const ucontext_t *context, const unsigned char *end)
{
	static const unsigned char order[] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					       REG_R8,	REG_R9,	 REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	int number = end[-1] >> 3 & 7;
	long value;

	if (end[-2] != 0x89 || (end[-1] & 0xc7) != 0xc0)
		return -1;
	if (end[-3] == 0x44)
		number += 8;
	if (number == 0 || number == 1 || number == 11) /* rcx and r11 do not survive */
		return -1;
	value = context->uc_mcontext.gregs[order[number]];
	return value >= 0 && value < 1024 ? value : -1;
}

/* glibc's syscall(3), whose first argument the number was, up to its syscall instruction. */
static int from_generic(const ucontext_t *context, const struct code *code, int end)
{
	static const unsigned char generic[] = { 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca,
						 0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 0x08 };
	struct code caller;
	uint64_t back;
	struct iovec here = { &back, sizeof(back) };
	struct iovec there = { (void *)REGISTER(context, RSP), sizeof(back) };

	if (end < (int)sizeof(generic))
		return -1;
	for (size_t i = 0; i < sizeof(generic); i++)
		if (code->bytes[end - sizeof(generic) + i] != generic[i])
			return -1;
	if (syscall6(SYS_process_vm_readv, SYSCALL_0(SYS_gettid), (long)&here, 1, (long)&there, 1, 0) != sizeof(back))
		return -1;
	caller = code_before(back);
	return search(&caller, caller.length, 0xbf);
}

/* A call that another came after, at the same instruction, had other arguments: they are in the registers still. */
static int is_in(const ucontext_t *context, struct asleep asleep)
{
	static const unsigned char order[] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(order); i++)
		sum = (sum ^ (uint64_t)context->uc_mcontext.gregs[order[i]]) * ABI_SUM;
	return asleep.number >= 0 && asleep.ip == (uint32_t)REGISTER(context, RIP) && asleep.arguments == sum;
}

/* The number, or -1: not stopped behind a syscall instruction, or nobody knows. */
int interrupted_syscall(const ucontext_t *context, const siginfo_t *info)
{
	uint64_t ip = REGISTER(context, RIP);
	struct code code = code_before(ip);
	int end = code.length - 2; /* where the syscall instruction begins */
	int number;

	if (end < 6 || code.bytes[end] != 0x0f || code.bytes[end + 1] != 0x05)
		return -1;
	if (code.bytes[end - 5] == 0xb8 && (number = immediate(code.bytes + end - 4)) >= 0)
		return number;
	if ((number = from_register(context, code.bytes + end)) >= 0)
		return number;
	if (info && is_in(context, order_asleep(info)))
		return order_asleep(info).number;
	if ((number = from_generic(context, &code, end)) >= 0)
		return number;
	return search(&code, end, 0xb8);
}
