/*
 * sigaltstack(2) is interposed to find threads that have the same alternate stack, as those of varnishd. If they took the freeze
 * signal there, the kernel would write their signal frames over one another. In such a process the signals of CRAK are
 * handled on the stack on which the thread runs: without SA_ONSTACK.
 *
 * The same goes for a stack that is too small for a signal frame: where processors have AVX-512, the MINSIGSTKSZ of older programs, 2048
 * bytes, is. A signal that no handler of the program takes there must not kill the program.
 *
 * A stack is known by its lowest address. Each thread that sets a stack leaves a record in a table of few entries. A stack whose
 * record was replaced by that of another stack is not found to be shared.
 */

#include <errno.h>
#include <sys/auxv.h>

#include "resident.h"

#define RECORDS 64
#define TID_BITS 22 /* PID_MAX_LIMIT of 64-bit kernels is 1 << 22 */

/* The address divided by 32, and the TID; 0: free. Different stacks are at least MINSIGSTKSZ bytes apart. */
static uint64_t records[RECORDS];

static uint64_t record_of(const stack_t *stack, int tid)
{
	return (uint64_t)stack->ss_sp >> 5 << TID_BITS | tid;
}

static uint64_t *place_of(const stack_t *stack)
{
	return &records[((uint64_t)stack->ss_sp >> 12 ^ (uint64_t)stack->ss_sp >> 18) % RECORDS];
}

/* Returns 1 if another thread of this process set this stack last, and has not ended. */
static int is_of_another(const stack_t *stack, int tid)
{
	uint64_t record = record_of(stack, tid);
	uint64_t before = __atomic_exchange_n(place_of(stack), record, __ATOMIC_SEQ_CST);
	int other = before & ((1 << TID_BITS) - 1);

	return before >> TID_BITS == record >> TID_BITS && other != tid &&
	       SYSCALL_3(SYS_tgkill, SYSCALL_0(SYS_getpid), other, 0) == 0;
}

/* The handlers are changed before the thread has the stack. So no signal of CRAK comes to two threads on one stack. */
EXPORT int sigaltstack(const stack_t *stack, stack_t *before)
{
	int tid = stack ? SYSCALL_0(SYS_gettid) : 0;
	stack_t had = { .ss_flags = SS_DISABLE };
	long result;

	if (stack && !(stack->ss_flags & SS_DISABLE) && (is_of_another(stack, tid) || stack->ss_size < getauxval(AT_MINSIGSTKSZ)))
		handle_on_current_stack();
	result = SYSCALL_2(SYS_sigaltstack, stack, &had);
	if (result < 0) {
		errno = -result;
		return -1;
	}
	if (stack && !(had.ss_flags & SS_DISABLE) && (stack->ss_flags & SS_DISABLE || stack->ss_sp != had.ss_sp)) {
		uint64_t record = record_of(&had, tid);

		__atomic_compare_exchange_n(place_of(&had), &record, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	if (before)
		*before = had;
	return 0;
}
