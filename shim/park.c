/*
 * Parking: every thread of the process waits inside the freeze handler.
 *
 *	initiator                    sibling
 *	signals it              ->   notes itself, saves its context,
 *	waits for the count     <-   joins the list, counts itself
 *	…                            waits while own.freeze is unchanged
 *	++own.freeze            ->   returns to what it did
 *
 * A restored thread comes back out of crak_save_context a second time and
 * waits in the same place.
 */

#include <errno.h>
#include <fcntl.h>

#include "resident.h"

#define TIDS_MAX (4 << 20) /* PID_MAX_LIMIT of 64-bit kernels */

/* How long the others wait for a thread, in milliseconds since the last one has parked. One in an uninterruptible sleep (a
 * slow NFS) takes no signal; one that can run may only have no processor. */
#define STUCK_BOUND 1000
#define PARK_BOUND 5000
#define PARK_BOUND_TOTAL 20000
#define STUCK_LOOKS 100 /* at least: we may have had no processor ourselves */
#define QUEUE_BOUND 500

typedef unsigned long tid_set[TIDS_MAX / 64];

static tid_set signalled; /* touched where there are threads only */
static tid_set parked_tids;
static int lowest_tid, highest_tid; /* of those in the sets */
static unsigned signalled_count;
static long queue_full_since; /* in milliseconds; 0: signals can be queued */
static int stuck; /* a thread that the last look found in an uninterruptible sleep, or 0 */

static int has(const unsigned long *set, int tid)
{
	return load(&set[tid / 64]) >> (tid % 64) & 1;
}

static void put(unsigned long *set, int tid)
{
	__atomic_fetch_or(&set[tid / 64], 1ul << (tid % 64), __ATOMIC_SEQ_CST);
}

static void put_wide(unsigned long *set, int tid)
{
	if (lowest_tid == 0 || tid < lowest_tid)
		lowest_tid = tid;
	if (tid > highest_tid)
		highest_tid = tid;
	put(set, tid);
}

/* Also of a freeze that our parent was in as it forked us. */
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

/* Until nobody is half-way to the list. */
static void wait_for_parking(void)
{
	unsigned parking;

	while ((parking = load(&own.parking)) > 0)
		futex_wait(&own.parking, parking, 100000);
}

/* A sibling's whole stay. Who has counted itself in own.parking and still finds its freeze's
 * number is waited for, and so on nobody's list when that list is given up. */
void park(ucontext_t *context, const siginfo_t *info)
{
	struct parked parked;
	unsigned freeze = info->si_value.sival_int;

	add(&own.parking, 1);
	if (!load(&own.freezing) || freeze != load(&own.freeze)) {
		add(&own.parking, -1);
		frame_repeat_syscall(context, info, NULL); /* late: that freeze was given up */
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

/* The end of a freeze, whether all were parked or not. */
void park_release(void)
{
	add(&own.freeze, 1);
	wait_for_parking();
	forget();
	own.initiator = 0;
	store(&own.freezing, 0);
	futex_wake_all(&own.freeze);
}

/* RLIMIT_SIGPENDING counts the signals of all of the user's processes: ours on their way, and others that are taken in a moment.
 * Whether to try again at the next look. */
static int queue_may_empty(void)
{
	if (queue_full_since == 0)
		queue_full_since = milliseconds();
	return load(&own.parked) < signalled_count || milliseconds() - queue_full_since < QUEUE_BOUND;
}

static int signal_task(int tid, struct abi_failure *failure)
{
	int error = queue_freeze_signal(tid, ABI_ORDER_PARK, own.freeze, task_blocked_syscall(tid));

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

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

/*
 * 1 if the thread has yet to park, 0 if not, -1 with the reason. A thread that has just ended counts:
 * the kernel's list may have ended with it (next_tid in fs/proc/base.c), and what it started come after it. The
 * thread group leader stands first, and stays.
 */
static int has_yet_to_park(int tid, struct abi_failure *failure)
{
	int leads = tid == SYSCALL_0(SYS_getpid);
	int state = 'R', dead;

	if (has(parked_tids, tid))
		return 0;
	if (leads || has(signalled, tid)) /* others can be signalled unseen: they are alive, or gone in a moment */
		state = task_state(tid);
	if (state < 0) {
		*failure = (struct abi_failure){ ABI_FAILED_TASKS, tid, -state, __LINE__ };
		return -1;
	}
	dead = state == 'Z' || state == 'X';
	if (state == 'D')
		stuck = tid;
	if (dead && leads)
		return 0;
	if (!dead && !has(signalled, tid) && signal_task(tid, failure))
		return -1;
	failure->tid = tid;
	return 1;
}

/* One look at the list of threads: signals those not seen before; the number of those that
 * have yet to park, or -1. */
static int look(int self, struct abi_failure *failure)
{
	static char buffer[4096] __attribute__((aligned(8)));
	int fd = SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
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
				SYSCALL_1(SYS_close, fd);
				return -1;
			}
			missing += yet;
		}
	}
	if (fd >= 0)
		SYSCALL_1(SYS_close, fd);
	if (n < 0) {
		*failure = (struct abi_failure){ ABI_FAILED_TASKS, 0, -n, __LINE__ };
		return -1;
	}
	return missing;
}

/* How the wait for the others goes. */
struct patience {
	long begun;
	long since;	 /* the last one has parked */
	long stuck_since; /* one of them has been stuck at every look */
	unsigned looks;	 /* since then */
	unsigned parked;
};

/* After each look: how long it has been in vain, in milliseconds, when that is too long, else 0. */
static long lost(struct patience *patience)
{
	long now = milliseconds();
	unsigned parked = load(&own.parked);

	if (parked != patience->parked) {
		patience->parked = parked;
		patience->since = now;
	}
	if (!stuck || patience->stuck_since < patience->since) {
		patience->stuck_since = now;
		patience->looks = 0;
	}
	patience->looks++;
	if (patience->looks > STUCK_LOOKS && now - patience->stuck_since > STUCK_BOUND)
		return now - patience->stuck_since;
	if (now - patience->since > PARK_BOUND || now - patience->begun > PARK_BOUND_TOTAL)
		return now - patience->since;
	return 0;
}

/* Parks every other thread; 0, or -1 with the reason. Whoever is parked stays so until park_release. */
int park_siblings(struct abi_failure *failure)
{
	int self = SYSCALL_0(SYS_gettid);
	long now = milliseconds(), in_vain = 0;
	struct patience patience = { .begun = now, .since = now, .stuck_since = now };

	forget();
	put_wide(signalled, self);
	for (int round = 0; in_vain == 0; round++) {
		int missing = look(self, failure);
		unsigned count;

		if (missing == 0)
			wait_for_parking();
		if (missing <= 0)
			return missing;
		count = load(&own.parked);
		if (count < signalled_count || queue_full_since)
			futex_wait(&own.parked, count, 1000000);
		while ((count = load(&own.parked)) < signalled_count && round == 0 && count != 0) {
			/* the first round: they are on their way, one after the other */
			futex_wait(&own.parked, count, 1000000);
			if (load(&own.parked) == count)
				break;
		}
		in_vain = lost(&patience);
	}
	failure->code = ABI_FAILED_PARK;
	failure->detail = in_vain;
	if (stuck)
		failure->tid = stuck;
	failure->line = __LINE__;
	return -1;
}
