/*
 * Finds out which system call was interrupted. Its number was in rax, which now has the result. The resident looks for the
 * number in these places, in this order:
 *
 *	1. b8 nn nn 00 00   mov $nr,%eax     directly before the syscall instruction (most of glibc)
 *	2. 31 c0            xor %eax,%eax    directly before it: read(2) in glibc
 *	3. [4x] 89 xx       mov %reg,%eax    directly before it; a system call does not change that register
 *	4. the blocked system call that came with the order, from /proc/PID/task/TID/syscall
 *	5. bf nn nn 00 00   mov $nr,%edi     before the call of syscall(3)
 *	6. b8 nn nn 00 00   mov $nr,%eax     farther before the syscall instruction
 *
 * Code cannot be decoded backwards without doubt. For example, a byte 41 before the first pattern may be a REX prefix, which
 * makes the instruction mov $nr,%r8d, or it may be the last byte of another instruction. The registers decide: if r8
 * does not have the value, the byte is not that prefix. If r8 has the value, the answer is unknown, and the next place is
 * tried. The last two places could match bytes of unrelated instructions, so they count only for calls that a handler
 * interrupts in spite of SA_RESTART (signal(7)). The kernel itself restarts the other calls.
 */

#include "resident.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])
#define REACH 192 /* how far back to look, in bytes */

struct code {
	unsigned char bytes[REACH];
	int length; /* bytes that could be read; the last one is just before the given address */
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

/* Returns 1 for a REX prefix (40 to 4f) that has these bits. */
static int is_rex(unsigned char byte, unsigned char bits)
{
	return (byte & 0xf0) == 0x40 && (byte & bits) == bits;
}

#define REX_B 1 /* the destination is one of r8 to r15 */
#define REX_R 4 /* the source is one of r8 to r15 */

/* Returns the number that the instruction `opcode imm32` at code->bytes[at] moves into one of the first eight registers, or
 * -1. */
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

/* Returns the number of the last such instruction that ends at `end` or before it, or -1. */
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

	if (number == 0 || number == 1 || number == 11) /* rax has the result; the kernel changes rcx and r11 */
		return -1;
	return context->uc_mcontext.gregs[order[number]];
}

/* xor %eax,%eax: opcode 31. The byte before may be a REX prefix that chooses r8d: then the answer is unknown. */
static int from_xor(const unsigned char *end)
{
	return end[-2] == 0x31 && end[-1] == 0xc0 && !is_rex(end[-3], REX_B) && !is_rex(end[-3], REX_R) ? 0 : -1;
}

/* mov %reg,%eax: opcode 89 with eax as the destination. */
static int from_register(const ucontext_t *context, const unsigned char *end)
{
	int low = end[-1] >> 3 & 7, high = low + 8;
	long value;

	if (end[-2] != 0x89 || (end[-1] & 0xc7) != 0xc0)
		return -1;
	value = value_of(context, low);
	if (is_rex(end[-3], REX_B)) /* perhaps mov %reg,%r8d: then r8 has the value */
		value = REGISTER(context, R8) == value_of(context, is_rex(end[-3], REX_R) ? high : low) ? -1 : value;
	else if (is_rex(end[-3], REX_R) && value != value_of(context, high)) /* or the byte belongs to another instruction */
		value = value >= 0 && value < 1024 ? -1 : value_of(context, high);
	return value >= 0 && value < 1024 ? value : -1;
}

/* For glibc's syscall(3), whose first argument is the number. `generic` is its code up to the syscall instruction. */
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

/* Returns 1 if the frame shows the same call that /proc showed. The thread may have left that call and made another one at
 * the same instruction. The arguments, which are still in the registers, differ then. */
static int is_in(const ucontext_t *context, struct blocked_syscall blocked)
{
	static const unsigned char order[] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(order); i++)
		sum = (sum ^ (uint64_t)context->uc_mcontext.gregs[order[i]]) * ABI_SUM;
	return blocked.number >= 0 && blocked.ip == (uint32_t)REGISTER(context, RIP) && blocked.arguments == sum;
}

/* Looks in the first four places. */
static int in_sure_place(const ucontext_t *context, const siginfo_t *info, const struct code *code, int end)
{
	int number;

	if (end < 6 || code->bytes[end] != 0x0f || code->bytes[end + 1] != 0x05)
		return -1;
	if ((number = move(context, code, end - 5, 0xb8)) >= 0)
		return number;
	if ((number = from_xor(code->bytes + end)) >= 0)
		return number;
	if ((number = from_register(context, code->bytes + end)) >= 0)
		return number;
	return info && is_in(context, order_blocked_syscall(info)) ? order_blocked_syscall(info).number : -1;
}

/* Returns the number of the call that the thread has just made, or -1 if the thread was not stopped after a syscall instruction or
 * the number is not certain. info: the freeze signal's, or NULL. */
int known_syscall(const ucontext_t *context, const siginfo_t *info)
{
	struct code code = code_before(REGISTER(context, RIP));

	return in_sure_place(context, info, &code, code.length - 2);
}

/* As known_syscall, for a call that has failed with EINTR: looks in all places. */
int interrupted_syscall(const ucontext_t *context, const siginfo_t *info)
{
	struct code code = code_before(REGISTER(context, RIP));
	int end = code.length - 2; /* where the syscall instruction begins */
	int number = in_sure_place(context, info, &code, end);

	if (number >= 0 || end < 6 || code.bytes[end] != 0x0f || code.bytes[end + 1] != 0x05)
		return number;
	if ((number = from_generic(context, &code, end)) >= 0)
		return number;
	return search(context, &code, end, 0xb8);
}
