/*
 * Parking: every thread of the process waits inside the handler of the freeze signal.
 *
 *	initiator                    sibling (each other thread)
 *	sends the freeze signal ->   records its own state, saves its registers,
 *	waits for own.parked    <-   joins own.list, increments own.parked,
 *	…                            waits until own.freeze changes
 *	++own.freeze            ->   returns to the interrupted code
 *
 * After a restart, crak_save_context returns a second time in each thread, and the thread
 * waits for own.freeze in the same place.
 */

#include <errno.h>
#include <fcntl.h>

#include "resident.h"

#define TIDS_MAX (4 << 20) /* PID_MAX_LIMIT of 64-bit kernels */

/* How long the initiator waits for a thread, in milliseconds. */
#define STUCK_BOUND 1000       /* for a thread in an uninterruptible sleep, which takes no signal: it waits for a slow NFS server, for
				* example, or in vfork until its child has executed a program or ended */
#define STUCK_LOOKS 100	       /* number of checks in a row that must also find it there: the initiator may have had no processor */
#define PARK_BOUND 5000	       /* after the last thread has parked: a runnable thread may be waiting for a processor */
#define PARK_BOUND_TOTAL 20000 /* after the freeze began */
#define AGAIN 20	       /* before orders that were lost are sent again */
#define QUEUE_BOUND 500	       /* as long as the kernel cannot queue a signal (EAGAIN) */

typedef unsigned long tid_set[TIDS_MAX / 64];

/* These pages are used only in a process with more than one thread. */
static tid_set signalled;
static tid_set parked_tids;
static int lowest_tid, highest_tid; /* in the sets */
static unsigned signalled_count;
static long queue_full_since; /* milliseconds(); 0: signals can be queued */
static int sends_again;	       /* 1: this check sends lost orders again */
static int stuck; /* TID of a thread that the last check found in an uninterruptible sleep, or 0 */

static int has(const unsigned long *set, int tid)
{
	return load(&set[tid / 64]) >> (tid % 64) & 1;
}

static void put(unsigned long *set, int tid)
{
	__atomic_fetch_or(&set[tid / 64], 1ul << (tid % 64), __ATOMIC_SEQ_CST);
}

/* Adds a TID and extends the range that forget() clears. */
static void put_wide(unsigned long *set, int tid)
{
	if (lowest_tid == 0 || tid < lowest_tid)
		lowest_tid = tid;
	if (tid > highest_tid)
		highest_tid = tid;
	put(set, tid);
}

/* Clears what the last freeze left. A process that was forked during a freeze of its parent has the parent's data here. */
static void forget(void)
{
	for (int word = lowest_tid / 64; word <= highest_tid / 64; word++) {
		if (signalled[word])
			signalled[word] = 0;
		if (parked_tids[word])
			parked_tids[word] = 0;
	}
	lowest_tid = highest_tid = 0;
	signalled_count = 0;
	queue_full_since = 0;
	own.list = NULL;
	own.parked = 0;
}

void park_add(struct parked *parked)
{
	parked->next = load(&own.list);
	while (!__atomic_compare_exchange_n(&own.list, &parked->next, parked, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	put(parked_tids, parked->thread.tid);
}

/* Waits until no thread is on its way to the list. */
static void wait_for_parking(void)
{
	unsigned parking;

	while ((parking = load(&own.parking)) > 0)
		futex_wait(&own.parking, parking, 100000);
}

/*
 * What a sibling does from the order to park until the end of the freeze.
 *
 * A thread increments own.parking before it checks the freeze number. The initiator changes that number and then waits
 * until own.parking is zero. So no thread can join the list after it is discarded.
 */
void park(ucontext_t *context, const siginfo_t *info)
{
	struct parked parked;
	unsigned freeze = info->si_value.sival_int;

	add(&own.parking, 1);
	if (!load(&own.freezing) || freeze != load(&own.freeze)) {
		add(&own.parking, -1);
		frame_repeat_syscall(context, info, NULL); /* the order came too late: that freeze is over */
		return;
	}
	thread_note(&parked, context, info);
	if (crak_save_context(&parked.context) == NULL) {
		park_add(&parked);
		add(&own.parking, -1);
		add(&own.parked, 1);
		futex_wake_all(&own.parked);
	} else {
		add(&own.back, 1);
		futex_wake_all(&own.back);
	}
	while (load(&own.freeze) == freeze)
		futex_wait(&own.freeze, freeze, 0);
	repeat_settle(context);
}

/* Ends a freeze, whether every thread has parked or not. */
void park_release(void)
{
	add(&own.freeze, 1);
	futex_wake_all(&own.freeze);
	wait_for_parking();
	forget();
	own.initiator = 0;
	store(&own.freezing, 0);
}

/*
 * Returns 1 if the signal that could not be queued is worth another try. RLIMIT_SIGPENDING counts the signals that are
 * queued for all processes of the user. The queue may shrink soon, when threads take signals of this freeze, or other
 * processes take theirs.
 */
static int queue_may_empty(void)
{
	if (queue_full_since == 0)
		queue_full_since = milliseconds();
	return load(&own.parked) < signalled_count || milliseconds() - queue_full_since < QUEUE_BOUND;
}

static int signal_task(int tid, struct abi_failure *failure)
{
	int error = queue_freeze_signal(tid, ABI_ORDER_PARK, own.freeze, task_blocked_syscall(0, tid));

	if (error == -EAGAIN && queue_may_empty())
		return 0;
	put_wide(signalled, tid);
	if (error == -ESRCH)
		return 0;
	if (error) {
		*failure = (struct abi_failure){ ABI_FAILED_SIGNAL, tid, -error, __LINE__ };
		return -1;
	}
	signalled_count++;
	queue_full_since = 0;
	return 0;
}

/*
 * Sends a thread the order to park again if the thread seems to have lost it. The kernel drops an order if the process ignores the signal, or
 * begins to before the thread takes the order: an exec function of libc does that for the moment of the call (exec.c). The order is also lost
 * if the handler of glibc gets it (pthread.c). An order that is pending is not lost. If the thread has taken the first order and is about to park,
 * it takes the second one when this freeze is over, and ignores it.
 */
static void signal_again(int tid)
{
	if (!task_has_order(0, tid))
		queue_freeze_signal(tid, ABI_ORDER_PARK, own.freeze, task_blocked_syscall(0, tid));
}

/*
 * Returns 1 if the thread has yet to park, 0 if not, or -1 and fills in failure. A thread that has just ended counts as
 * one that has yet to park: the kernel may have ended the listing at that thread (next_tid in fs/proc/base.c), so
 * threads that it started may be missing from the listing. The thread group leader comes first in the listing, and stays
 * there as a zombie after it has exited.
 */
static int has_yet_to_park(int tid, struct abi_failure *failure)
{
	int leads = tid == SYSCALL_0(SYS_getpid);
	int state = 'R', dead;

	if (has(parked_tids, tid))
		return 0;
	/* Any other thread is alive or about to disappear from the listing: it can be signalled without this check. */
	if (leads || has(signalled, tid))
		state = task_state(0, tid);
	if (state < 0) {
		*failure = (struct abi_failure){ ABI_FAILED_TASKS, tid, -state, __LINE__ };
		return -1;
	}
	dead = state == 'Z' || state == 'X';
	if (state == 'D')
		stuck = tid;
	if (dead && leads)
		return 0;
	if (!dead && has(signalled, tid) && sends_again)
		signal_again(tid);
	if (!dead && !has(signalled, tid) && signal_task(tid, failure))
		return -1;
	failure->tid = tid;
	return 1;
}

/* Reads the list of threads once and signals those that are new. Returns the number of threads that have yet to park, or -1
 * and fills in failure. */
static int look(int self, struct abi_failure *failure)
{
	static char buffer[4096] __attribute__((aligned(8)));
	int fd = descriptor_opened(SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
	int missing = 0;
	long n = fd;

	stuck = 0;

	while (fd >= 0 && (n = SYSCALL_3(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			struct directory_entry *entry = (struct directory_entry *)(buffer + at);
			int tid, yet;

			at += entry->length;
			decimal_read(entry->name, &tid);
			if (tid == 0 || tid == self)
				continue;
			yet = has_yet_to_park(tid, failure);
			if (yet < 0) {
				descriptor_close(fd);
				return -1;
			}
			missing += yet;
		}
	}
	if (fd >= 0)
		descriptor_close(fd);
	if (n < 0) {
		*failure = (struct abi_failure){ ABI_FAILED_TASKS, 0, -n, __LINE__ };
		return -1;
	}
	return missing;
}

/* The progress of the siblings towards parking. Times are of milliseconds(). */
struct progress {
	long begun;
	long since;	  /* when the number of parked threads last changed */
	long stuck_since; /* since when every check has found a stuck thread */
	unsigned looks;	  /* checks since then */
	unsigned parked;
};

/* Called after each check. Returns 0 as long as no bound is exceeded. Otherwise it returns for how many milliseconds the initiator
 * has waited without progress. */
static long without_progress(struct progress *progress)
{
	long now = milliseconds();
	unsigned parked = load(&own.parked);

	if (parked != progress->parked) {
		progress->parked = parked;
		progress->since = now;
	}
	if (!stuck || progress->stuck_since < progress->since) {
		progress->stuck_since = now;
		progress->looks = 0;
	}
	progress->looks++;
	if (progress->looks > STUCK_LOOKS && now - progress->stuck_since > STUCK_BOUND)
		return now - progress->stuck_since;
	if (now - progress->since > PARK_BOUND || now - progress->begun > PARK_BOUND_TOTAL)
		return now - progress->since;
	return 0;
}

/* Parks every other thread. Returns 0, or -1 and fills in failure. Parked threads stay parked until park_release, also
 * after a failure. */
int park_siblings(struct abi_failure *failure)
{
	int self = SYSCALL_0(SYS_gettid);
	long now = milliseconds(), sent = now, stalled = 0;
	struct progress progress = { .begun = now, .since = now, .stuck_since = now };

	forget();
	put_wide(signalled, self);
	for (int round = 0; stalled == 0; round++) {
		int missing;
		unsigned count;

		now = milliseconds();
		if ((sends_again = now - sent >= AGAIN))
			sent = now;
		missing = look(self, failure);
		if (missing == 0)
			wait_for_parking();
		if (missing <= 0)
			return missing;
		count = load(&own.parked);
		if (count < signalled_count || queue_full_since)
			futex_wait(&own.parked, count, 1000000);
		while ((count = load(&own.parked)) < signalled_count && round == 0 && count != 0) {
			/* The first round: the threads park one after the other, so another check now would find nothing new. */
			futex_wait(&own.parked, count, 1000000);
			if (load(&own.parked) == count)
				break;
		}
		stalled = without_progress(&progress);
	}
	failure->code = ABI_FAILED_PARK;
	failure->detail = stalled;
	if (stuck)
		failure->tid = stuck;
	if (load(&own.stackless)) {
		failure->code = ABI_FAILED_MEMORY;
		failure->detail = load(&own.stackless);
	}
	failure->line = __LINE__;
	return -1;
}
