/* The loop: it runs one program, instruction by instruction. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <sys/syscall.h>

#include "interp.h"

#define ABANDONED 0x80000000u /* the value of the decision if crak has ended before */

/* Make a process or a thread with a given ID. */
static long make(const struct interp_load *load, const struct interp_instruction *in,
		 const unsigned long long *args)
{
	int id = (int)args[1];
	struct clone_args clone;
	for (unsigned i = 0; i < sizeof clone / 8; i++)
		((volatile unsigned long long *)&clone)[i] = 0;
	clone.flags = args[2];
	if (id) {
		clone.set_tid = address(&id);
		clone.set_tid_size = 1;
	}
	if (in->op == INTERP_PROCESS) {
		clone.exit_signal = args[3];
	} else {
		clone.tls = args[3];
		clone.child_tid = args[4];
		/* The stack pointer of the thread is stack + stack_size. */
		clone.stack = args[5] - 16;
		clone.stack_size = 16;
	}
	return interp_thread(&clone, sizeof clone, load, (unsigned)args[0]);
}

/* Other processes use the counter, too: the futex calls are without FUTEX_PRIVATE_FLAG. */
static long arrive(unsigned *counter, unsigned total)
{
	unsigned n = __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
	if (n == total)
		sys(SYS_futex, address(counter), FUTEX_WAKE, 0x7fffffff, 0);
	return n;
}

static int crak_has_ended(const struct interp_load *load)
{
	struct pollfd peer = { .fd = load->control };
	return sys(SYS_poll, address(&peer), 1, 0, 0) == 1;
}

/*
 * Called when a wait has timed out. Returns 0 if crak has not ended, or else the result of the wait. The first process that sees the
 * end of crak decides for all, unless crak has decided just before: then processes that wait for the decision go.
 */
static long check_crak(const struct interp_load *load, const unsigned *counter, unsigned total)
{
	unsigned *decision = (unsigned *)load->decision, none = 0;
	if (!decision || !crak_has_ended(load))
		return 0;
	__atomic_compare_exchange_n(decision, &none, ABANDONED, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(decision, __ATOMIC_ACQUIRE) == ABANDONED)
		return -125; /* ECANCELED */
	return counter == decision ? total : 0;
}

/* No call waits for a futex and for the end of crak, so the wait for the futex has a timeout. */
static long await(const struct interp_load *load, unsigned *counter, unsigned total, unsigned long long most)
{
	const struct timespec interval = { .tv_nsec = 100000000 };
	for (unsigned long long waits = 0; !most || waits < most;) {
		unsigned n = __atomic_load_n(counter, __ATOMIC_ACQUIRE);
		if (n == total)
			return n;
		long result = 0;
		if (sys(SYS_futex, address(counter), FUTEX_WAIT, n, address(&interval)) == -110 /* ETIMEDOUT */) {
			result = check_crak(load, counter, total);
			waits++;
		}
		if (result)
			return result;
	}
	return -110;
}

static long execute(const struct interp_load *load, const struct interp_instruction *in,
		    const unsigned long long *args)
{
	switch (in->op) {
	case INTERP_CALL:
		return interp_call(args, in->number);
	case INTERP_THREAD:
	case INTERP_PROCESS:
		return make(load, in, args);
	case INTERP_ARRIVE:
		return arrive((unsigned *)args[0], (unsigned)args[1]);
	case INTERP_AWAIT:
		return await(load, (unsigned *)args[0], (unsigned)args[1], args[2]);
	case INTERP_LOAD:
		return *(const long *)args[0];
	case INTERP_JUMP:
		interp_jump((const void *)args[0], (const void *)args[1]);
	default:
		return -38; /* ENOSYS */
	}
}

/* A child that is stopped notices the end of crak only when it is continued. */
static _Noreturn void fail(const struct interp_load *load, const struct interp_program *program, unsigned number,
			   unsigned index, long result)
{
	const int *pids = (const int *)program->stopped;
	for (unsigned i = 0; i < program->stopped_count; i++)
		sys(SYS_kill, pids[i], SIGCONT, 0, 0);
	interp_fail(load->control, number, index, result);
}

static void step(const struct interp_load *load, const struct interp_program *program, unsigned number,
		 unsigned index)
{
	const struct interp_instruction *in = (const struct interp_instruction *)program->instructions + index;
	long long *results = (long long *)load->results;
	unsigned long long args[6];
	for (unsigned i = 0; i < 6; i++)
		args[i] = in->from & (1u << i) ? (unsigned long long)results[in->args[i]] : in->args[i];

	long result = execute(load, in, args);
	if (in->slot >= 0)
		results[in->slot] = result;
	int good = in->expect == INTERP_EXPECT_VALUE ? result == in->want :
		   in->expect == INTERP_EXPECT_ANY   ? 1 :
						       !failed(result);
	if (good)
		return;
	if (in->expect == INTERP_EXPECT_NOTICE)
		interp_report(load->control, INTERP_NOTICE, number, index, result);
	else
		fail(load, program, number, index, result);
}

__attribute__((visibility("hidden"))) _Noreturn void interp_run(const struct interp_load *load, unsigned number)
{
	const struct interp_program *program = (const struct interp_program *)load->programs + number;
	for (unsigned i = 0; i < program->count; i++)
		step(load, program, number, i);
	fail(load, program, number, program->count, 0);
}
