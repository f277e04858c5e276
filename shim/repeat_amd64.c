/*
 * Makes system calls again with the rest of their timeout.
 *
 * If a call with a relative timeout were made again unchanged, the timeout would start anew. If checkpoints follow each other
 * faster than the timeout, the call would never end. So when the resident interrupts such a call for the first time, it
 * records the end of the timeout as a time of CLOCK_MONOTONIC. It computes this time from the rest that the kernel has
 * written, or from the whole timeout if the kernel writes no rest. The recorded time stays valid for all further
 * interruptions, and after a restart.
 *
 * The program must find its registers unchanged, and its timeout may be in read-only memory. So the thread makes the call from a
 * stub of the resident, with a copy of the timeout:
 *
 *	program          stub of a record (repeat_amd64.S)
 *	syscall    ->    syscall, with the rest of the timeout
 *	go on      <-    registers restored from the record, record freed
 *
 * A thread in a stub uses the program's own stack pointer. A signal handler of the program may leave the stub by longjmp, and then
 * the stub does not free the record. The record is used again by the same thread at the same stack pointer, or by any thread after
 * that thread's end. If no record is free, the timeout starts anew.
 */

#include <errno.h>
#include <time.h>

#include "repeat_amd64.h"
#include "resident.h"
#include "timeout.h"

_Static_assert(sizeof(struct repeat) == REPEAT_RECORD, "struct repeat");
_Static_assert(offsetof(struct repeat, ip) == REPEAT_IP && offsetof(struct repeat, arguments) == REPEAT_RDI &&
		       offsetof(struct repeat, owner) == REPEAT_OWNER && offsetof(struct repeat, is_rest) == REPEAT_IS_REST &&
		       offsetof(struct repeat, timed.left) == REPEAT_LEFT && offsetof(struct repeat, timed.back) == REPEAT_BACK,
	       "struct repeat");

struct repeat crak_repeats[REPEAT_COUNT] __attribute__((visibility("hidden")));

static struct {
	int tid; /* 0: the record is free */
	int pid; /* a forked child also has its parent's records, and signal frames on its stack may use them */
} owners[REPEAT_COUNT];

static const unsigned char argument_registers[] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };

static int64_t now(void)
{
	struct timespec t = { 0, 0 };

	SYSCALL_2(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int claim(int i, int from, int tid, int pid)
{
	if (!__atomic_compare_exchange_n(&owners[i].tid, &from, tid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return 0;
	owners[i].pid = pid;
	return 1;
}

/* Returns a record for a call with this stack pointer, or NULL. */
static struct repeat *take(uint64_t sp)
{
	int tid = SYSCALL_0(SYS_gettid), pid = SYSCALL_0(SYS_getpid);

	for (int i = 0; i < REPEAT_COUNT; i++) /* one that this thread left by longjmp */
		if (load(&owners[i].tid) == tid && owners[i].pid == pid && crak_repeats[i].sp == sp)
			return &crak_repeats[i];
	for (int i = 0; i < REPEAT_COUNT; i++)
		if (i % REPEAT_PER_PAGE && load(&owners[i].tid) == 0 && claim(i, 0, tid, pid))
			return &crak_repeats[i];
	for (int i = 0; i < REPEAT_COUNT; i++) {
		int owner = load(&owners[i].tid);

		if (i % REPEAT_PER_PAGE && owner && owners[i].pid == pid &&
		    SYSCALL_3(SYS_tgkill, pid, owner, 0) == -ESRCH && claim(i, owner, tid, pid))
			return &crak_repeats[i];
	}
	return NULL;
}

uint64_t repeat_stub(const struct repeat *repeat)
{
	return (uint64_t)crak_repeat_stubs + (repeat - crak_repeats) * REPEAT_STUB;
}

/* Returns the record whose stub contains the address at this offset, or NULL. */
struct repeat *repeat_at_stub(uint64_t ip, unsigned offset)
{
	uint64_t distance = ip - offset - (uint64_t)crak_repeat_stubs;

	if (distance >= REPEAT_COUNT * REPEAT_STUB || distance % REPEAT_STUB || distance / REPEAT_STUB % REPEAT_PER_PAGE == 0)
		return NULL;
	return &crak_repeats[distance / REPEAT_STUB];
}

/* Returns the number of the call if the frame stands after the syscall instruction of a stub, else -1. */
int repeat_number(const ucontext_t *context)
{
	const struct repeat *repeat = repeat_at_stub(REGISTER(context, RIP), 2);

	return repeat ? repeat->number : -1;
}

/* Returns a record for the call that the frame stands after, or NULL. */
struct repeat *repeat_record(const ucontext_t *context, int number)
{
	struct repeat *repeat = take(REGISTER(context, RSP));

	if (!repeat)
		return NULL;
	repeat->ip = REGISTER(context, RIP);
	for (int i = 0; i < 6; i++)
		repeat->arguments[i] = context->uc_mcontext.gregs[argument_registers[i]];
	repeat->owner = &owners[repeat - crak_repeats].tid;
	repeat->sp = REGISTER(context, RSP);
	repeat->number = number;
	repeat->is_rest = 0;
	return repeat;
}

/*
 * Returns the address of the syscall instruction with which the thread makes its call again: the program's own, or that of a
 * stub. Preconditions: a signal of CRAK interrupted the call, and the frame stands after its syscall instruction.
 */
uint64_t repeat_from(const ucontext_t *context, int number)
{
	uint64_t ip = REGISTER(context, RIP), arguments[6];
	struct repeat *repeat;
	struct timeout timeout;
	int64_t left;

	if (repeat_at_stub(ip, 2))
		return ip - 2;
	for (int i = 0; i < 6; i++)
		arguments[i] = context->uc_mcontext.gregs[argument_registers[i]];
	timeout = timeout_of(number, arguments);
	left = timeout_left(&timeout, arguments);
	if (left < 0 || !(repeat = repeat_record(context, number)))
		return ip - 2;
	repeat->timed.back = timeout.written && is_writable(arguments[timeout.argument], sizeof(repeat->timed.left)) ?
			       arguments[timeout.argument] :
			       0;
	repeat->timed.end = now() + left;
	repeat->timed.timeout = timeout;
	return repeat_stub(repeat);
}

/* For a call whose timeout is an option of the socket. The kernel would apply the whole timeout again, so the call fails now, as
 * after a timeout. */
static void time_out(ucontext_t *context, struct repeat *repeat)
{
	REGISTER(context, RAX) = repeat->number == SYS_connect ? -EINPROGRESS : -EAGAIN;
	REGISTER(context, RIP) = repeat->ip;
	store(repeat->owner, 0);
}

/* If the frame goes on at a stub, sets the time that is left now, or begins with the rest of the data. Preconditions: the caller
 * returns to the frame next. */
void repeat_settle(ucontext_t *context)
{
	struct repeat *repeat = repeat_at_stub(REGISTER(context, RIP), 0);
	long long *argument;
	int64_t left;

	if (!repeat)
		return;
	if (repeat->is_rest) {
		rest_begin(context, repeat);
		return;
	}
	argument = &context->uc_mcontext.gregs[argument_registers[repeat->timed.timeout.argument]];
	left = repeat->timed.end - now();
	if (left < 0)
		left = 0;
	switch (repeat->timed.timeout.kind) {
	case TIMEOUT_NONE:
		break;
	case TIMEOUT_TIMESPEC:
	case TIMEOUT_TIMEVAL:
		repeat->timed.left[0] = left / 1000000000;
		repeat->timed.left[1] = left % 1000000000 / (repeat->timed.timeout.kind == TIMEOUT_TIMEVAL ? 1000 : 1);
		*argument = (long long)repeat->timed.left;
		break;
	case TIMEOUT_MILLISECONDS:
		*argument = (left + 999999) / 1000000;
		break;
	case TIMEOUT_SOCKET:
		if (left == 0)
			time_out(context, repeat);
		break;
	}
}
