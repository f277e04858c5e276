/*
 * System calls that are made again with what is left of their timeout.
 *
 * A call with a relative timeout that is simply made again begins anew, and with checkpoints that follow each other
 * faster than the timeout it never ends. So the first time that we interrupt such a call we note when it is to end: what
 * the kernel says is left of it, or, where the kernel does not say, the whole. From then on that time, of
 * CLOCK_MONOTONIC, decides, however often the call is interrupted, and after a restart too.
 *
 * Registers must be as they were when the program goes on, and its timeout may be constant. So the call is made from a
 * stub of ours, with a copy of the timeout:
 *
 *	program          stub of a record (repeat_amd64.S)
 *	syscall    ->    syscall, with what is left
 *	go on      <-    registers as in the record, the record is free
 *
 * A thread in a stub has the program's own stack pointer. A handler of the program's may leave it by longjmp: the record
 * is then found again by the same thread at the same stack pointer, or when its thread has ended. Where no record is
 * free the call begins anew.
 */

#include <errno.h>
#include <time.h>

#include "repeat_amd64.h"
#include "resident.h"
#include "timeout.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])

struct repeat {
	uint64_t ip;	      /* behind the program's syscall instruction */
	uint64_t arguments[6]; /* its own */
	int64_t left[2];      /* the copy: a timespec or timeval */
	uint64_t back;	      /* where the copy goes to in the end, or 0 */
	int *owner;
	int64_t end; /* of CLOCK_MONOTONIC, nanoseconds */
	uint64_t sp;
	struct timeout timeout;
	short number;
} __attribute__((aligned(REPEAT_RECORD)));

_Static_assert(sizeof(struct repeat) == REPEAT_RECORD, "struct repeat");
_Static_assert(offsetof(struct repeat, ip) == REPEAT_IP && offsetof(struct repeat, arguments) == REPEAT_RDI &&
		       offsetof(struct repeat, left) == REPEAT_LEFT && offsetof(struct repeat, back) == REPEAT_BACK &&
		       offsetof(struct repeat, owner) == REPEAT_OWNER,
	       "struct repeat");

struct repeat crak_repeats[REPEAT_COUNT] __attribute__((visibility("hidden")));
extern const char crak_repeat_stubs[] __attribute__((visibility("hidden")));

static struct {
	int tid; /* 0: the record is free */
	int pid; /* a forked child has its parent's records, which may be in use by frames on its stack */
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

/* A record for a call at a stack pointer, or NULL. */
static struct repeat *take(uint64_t sp)
{
	int tid = SYSCALL_0(SYS_gettid), pid = SYSCALL_0(SYS_getpid);

	for (int i = 0; i < REPEAT_COUNT; i++) /* one that was left */
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

static uint64_t stub_of(const struct repeat *repeat)
{
	return (uint64_t)crak_repeat_stubs + (repeat - crak_repeats) * REPEAT_STUB;
}

/* The record that an address is the stub's of, or NULL. offset: of the address in the stub. */
static struct repeat *at_stub(uint64_t ip, unsigned offset)
{
	uint64_t distance = ip - offset - (uint64_t)crak_repeat_stubs;

	if (distance >= REPEAT_COUNT * REPEAT_STUB || distance % REPEAT_STUB || distance / REPEAT_STUB % REPEAT_PER_PAGE == 0)
		return NULL;
	return &crak_repeats[distance / REPEAT_STUB];
}

/* Of a call from a stub, that the frame stands behind; -1: it does not. */
int repeat_number(const ucontext_t *context)
{
	const struct repeat *repeat = at_stub(REGISTER(context, RIP), 2);

	return repeat ? repeat->number : -1;
}

/*
 * The address of the syscall instruction to make a call again. Preconditions: it was interrupted by a signal of ours, and
 * the frame stands behind its instruction.
 */
uint64_t repeat_from(const ucontext_t *context, int number)
{
	uint64_t ip = REGISTER(context, RIP), arguments[6];
	struct repeat *repeat = at_stub(ip, 2);
	struct timeout timeout;
	int64_t left;

	if (repeat)
		return ip - 2;
	for (int i = 0; i < 6; i++)
		arguments[i] = context->uc_mcontext.gregs[argument_registers[i]];
	timeout = timeout_of(number, arguments);
	left = timeout_left(&timeout, arguments);
	if (left < 0 || !(repeat = take(REGISTER(context, RSP))))
		return ip - 2;
	repeat->ip = ip;
	__builtin_memcpy(repeat->arguments, arguments, sizeof(arguments));
	repeat->back = timeout.written && is_writable(arguments[timeout.argument], sizeof(repeat->left)) ?
			       arguments[timeout.argument] :
			       0;
	repeat->owner = &owners[repeat - crak_repeats].tid;
	repeat->end = now() + left;
	repeat->sp = REGISTER(context, RSP);
	repeat->timeout = timeout;
	repeat->number = number;
	return stub_of(repeat);
}

/* The socket has the whole timeout still: when it is over, so is the call. */
static void time_out(ucontext_t *context, struct repeat *repeat)
{
	REGISTER(context, RAX) = repeat->number == SYS_connect ? -EINPROGRESS : -EAGAIN;
	REGISTER(context, RIP) = repeat->ip;
	store(repeat->owner, 0);
}

/* What is left now, for a frame that goes on at a stub. Preconditions: the next thing is the return to the frame. */
void repeat_settle(ucontext_t *context)
{
	struct repeat *repeat = at_stub(REGISTER(context, RIP), 0);
	long long *argument;
	int64_t left;

	if (!repeat)
		return;
	argument = &context->uc_mcontext.gregs[argument_registers[repeat->timeout.argument]];
	left = repeat->end - now();
	if (left < 0)
		left = 0;
	switch (repeat->timeout.kind) {
	case TIMEOUT_NONE:
		break;
	case TIMEOUT_TIMESPEC:
	case TIMEOUT_TIMEVAL:
		repeat->left[0] = left / 1000000000;
		repeat->left[1] = left % 1000000000 / (repeat->timeout.kind == TIMEOUT_TIMEVAL ? 1000 : 1);
		*argument = (long long)repeat->left;
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
