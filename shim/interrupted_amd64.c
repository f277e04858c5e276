/*
 * Which system call was interrupted: its number was in rax, where the result
 * is now. It is found, in this order,
 *
 *	b8 nn nn 00 00   mov $nr,%eax     before the instruction (most of glibc)
 *	[4x] 89 xx       mov %reg,%eax    before it: system calls keep the register
 *	                                  what /proc said as the signal was sent
 *	b8 nn nn 00 00   mov $nr,%eax     farther before it
 *	bf nn nn 00 00   mov $nr,%edi     before the call of syscall(3)
 *
 * Instructions cannot be told apart backwards: a byte 41 before these may be a REX prefix, which makes it mov $nr,%r8d, or
 * the end of another instruction. The registers tell. Where r8 does not have the value, that was not moved into it;
 * where it has, nobody knows, and the next way is tried. The last two ways might find bytes of something else, so they
 * count only for calls that a handler interrupts in spite of SA_RESTART (signal(7)); of the others the kernel takes care.
 */

#include "resident.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])
#define REACH 192 /* how far back to look, in bytes */

struct code {
	unsigned char bytes[REACH];
	int length; /* of what could be read; it ends at the address asked for */
};

static struct code code_before(uint64_t address)
{
	struct code code = { .length = 0 };

	for (int length = REACH; length >= 6; length /= 2) {
		if (copy_in(code.bytes, address - length, length) == 0) {
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

/* A REX prefix (40 to 4f) with the bits of a mask. */
static int is_rex(unsigned char byte, unsigned char bits)
{
	return (byte & 0xf0) == 0x40 && (byte & bits) == bits;
}

#define REX_B 1 /* the register that is written to is one of r8 to r15 */
#define REX_R 4 /* the register that is read is */

/* The number that `opcode imm32` at a place moves into a low register, or -1. */
static int move(const ucontext_t *context, const struct code *code, int at, unsigned char opcode)
{
	static const unsigned char with_prefix[] = { REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	int number = immediate(code->bytes + at + 1);

	if (code->bytes[at] != opcode)
		return -1;
	if (at > 0 && is_rex(code->bytes[at - 1], REX_B) &&
	    context->uc_mcontext.gregs[with_prefix[opcode & 7]] == number)
		return -1;
	return number;
}

/* The nearest one that ends at `end` or before. */
static int search(const ucontext_t *context, const struct code *code, int end, unsigned char opcode)
{
	for (int at = end - 5; at >= 0; at--) {
		int number = move(context, code, at, opcode);

		if (is_interruptible(number, INTERRUPTED_ALWAYS))
			return number;
	}
	return -1;
}

static long value_of(const ucontext_t *context, int number)
{
	static const unsigned char order[] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					       REG_R8,	REG_R9,	 REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	if (number == 0 || number == 1 || number == 11) /* rax is the result; rcx and r11 do not survive */
		return -1;
	return context->uc_mcontext.gregs[order[number]];
}

/* mov %reg,%eax: opcode 89, eax as its target. */
static int from_register(const ucontext_t *context, const unsigned char *end)
{
	int low = end[-1] >> 3 & 7, high = low + 8;
	long value;

	if (end[-2] != 0x89 || (end[-1] & 0xc7) != 0xc0)
		return -1;
	value = value_of(context, low);
	if (is_rex(end[-3], REX_B)) /* into r8? then r8 has the value */
		value = REGISTER(context, R8) == value_of(context, is_rex(end[-3], REX_R) ? high : low) ? -1 : value;
	else if (is_rex(end[-3], REX_R) && value != value_of(context, high)) /* or a byte of another instruction */
		value = value >= 0 && value < 1024 ? -1 : value_of(context, high);
	return value >= 0 && value < 1024 ? value : -1;
}

/* glibc's syscall(3), whose first argument the number was, up to its syscall instruction. */
static int from_generic(const ucontext_t *context, const struct code *code, int end)
{
	static const unsigned char generic[] = { 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca,
						 0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 0x08 };
	struct code caller;
	uint64_t back;

	if (end < (int)sizeof(generic))
		return -1;
	for (size_t i = 0; i < sizeof(generic); i++)
		if (code->bytes[end - sizeof(generic) + i] != generic[i])
			return -1;
	if (copy_in(&back, REGISTER(context, RSP), sizeof(back)))
		return -1;
	caller = code_before(back);
	return search(context, &caller, caller.length, 0xbf);
}

/* A call that another came after, at the same instruction, had other arguments: they are in the registers still. */
static int is_in(const ucontext_t *context, struct blocked_syscall blocked)
{
	static const unsigned char order[] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(order); i++)
		sum = (sum ^ (uint64_t)context->uc_mcontext.gregs[order[i]]) * ABI_SUM;
	return blocked.number >= 0 && blocked.ip == (uint32_t)REGISTER(context, RIP) && blocked.arguments == sum;
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
	if ((number = move(context, &code, end - 5, 0xb8)) >= 0)
		return number;
	if ((number = from_register(context, code.bytes + end)) >= 0)
		return number;
	if (info && is_in(context, order_blocked_syscall(info)))
		return order_blocked_syscall(info).number;
	if ((number = from_generic(context, &code, end)) >= 0)
		return number;
	return search(context, &code, end, 0xb8);
}
