/*
 * Parking: every thread of the process waits inside the freeze handler.
 *
 *	leader                       sibling
 *	signals it              ->   notes itself, saves its context,
 *	waits for the count     <-   joins the list, counts itself
 *	…                            waits while resident.freeze is unchanged
 *	++resident.freeze       ->   returns to what it did
 *
 * A restored thread comes back out of crak_save_context a second time and
 * waits in the same place.
 */

#include <errno.h>
#include <fcntl.h>

#include "resident.h"

#define TIDS_MAX (4 << 20) /* PID_MAX_LIMIT of 64-bit kernels */
#define PARK_BOUND 5000	   /* rounds of a millisecond and more */

typedef unsigned long tid_set[TIDS_MAX / 64];

static tid_set signalled; /* touched where there are threads only */
static tid_set parked_tids;
static int lowest_tid, highest_tid;
static struct parked *list;
static unsigned parked_count;
static unsigned signalled_count;

static int has(const unsigned long *set, int tid)
{
	return load(&set[tid / 64]) >> (tid % 64) & 1;
}

static void put(unsigned long *set, int tid)
{
	__atomic_fetch_or(&set[tid / 64], 1ul << (tid % 64), __ATOMIC_SEQ_CST);
}

void park_add(struct parked *parked)
{
	parked->next = load(&list);
	while (!__atomic_compare_exchange_n(&list, &parked->next, parked, 0, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
	put(parked_tids, parked->thread.tid);
}

struct parked *park_list(void)
{
	return list;
}

/* A sibling's whole stay. */
void park(ucontext_t *context, const siginfo_t *info)
{
	struct parked parked;
	unsigned freeze = info->si_value.sival_int;

	if (!load(&resident.freezing) || freeze != load(&resident.freeze)) {
		frame_repeat_syscall(context, info, NULL); /* late: that freeze was given up */
		return;
	}
	thread_note(&parked, context, info);
	if (crak_save_context(&parked.context) == NULL) {
		park_add(&parked);
		add(&parked_count, 1);
		futex_wake_all(&parked_count);
	} else {
		add(&resident.back, 1);
		futex_wake_all(&resident.back);
	}
	while (load(&resident.freeze) == freeze)
		futex_wait(&resident.freeze, freeze, 0);
}

void park_release(void)
{
	add(&resident.freeze, 1);
	futex_wake_all(&resident.freeze);
}

static char *path_of_task(char *path, int tid, const char *file)
{
	static const char prefix[] = "/proc/self/task/";
	char digits[12];
	char *p = path;
	int n = 0;

	for (size_t i = 0; i < sizeof(prefix) - 1; i++)
		*p++ = prefix[i];
	for (; tid > 0; tid /= 10)
		digits[n++] = '0' + tid % 10;
	while (n > 0)
		*p++ = digits[--n];
	while ((*p++ = *file++))
		;
	return path;
}

static long read_task_file(int tid, const char *file, char *buffer, size_t size)
{
	char path[64];
	int fd = SYSCALL_4(SYS_openat, AT_FDCWD, path_of_task(path, tid, file), O_RDONLY | O_CLOEXEC, 0);
	long n;

	if (fd < 0)
		return fd;
	n = SYSCALL_3(SYS_read, fd, buffer, size - 1);
	SYSCALL_1(SYS_close, fd);
	if (n >= 0)
		buffer[n] = 0;
	return n;
}

/* A thread group leader that called pthread_exit stays in the list, dead. */
static int is_dead(int tid)
{
	char stat[128];
	char *p, *state = NULL;

	if (read_task_file(tid, "/stat", stat, sizeof(stat)) <= 0)
		return 1;
	for (p = stat; *p; p++)
		if (p[0] == ')' && p[1] == ' ')
			state = p + 2;
	return state && (*state == 'Z' || *state == 'X');
}

/* Which call the thread is asleep in: /proc/self/task/TID/syscall, "number args… sp ip". */
static int sleeping_in(int tid, uint32_t *ip)
{
	char text[256];
	const char *p = text;
	uint64_t value = 0;
	int number = 0;

	if (read_task_file(tid, "/syscall", text, sizeof(text)) <= 0 || *p < '0' || *p > '9')
		return -1;
	for (; *p >= '0' && *p <= '9'; p++)
		number = number * 10 + (*p - '0');
	for (; *p && *p != '\n'; p++) {
		if (*p == ' ')
			value = 0;
		else if (*p >= '0' && *p <= '9')
			value = value << 4 | (*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			value = value << 4 | (*p - 'a' + 10);
	}
	*ip = value;
	return number;
}

static int signal_task(int tid, struct abi_failure *failure)
{
	uint32_t ip = 0;
	int number, error;

	put(signalled, tid);
	if (lowest_tid == 0 || tid < lowest_tid)
		lowest_tid = tid;
	if (tid > highest_tid)
		highest_tid = tid;
	if (is_dead(tid))
		return 0;
	number = sleeping_in(tid, &ip);
	error = queue_freeze_signal(tid, ABI_ORDER_PARK, resident.freeze, number, ip);
	if (error == -ESRCH)
		return 0;
	if (error) {
		*failure = (struct abi_failure){ ABI_FAILED_SIGNAL, tid, -error, __LINE__ };
		return -1;
	}
	signalled_count++;
	return 0;
}

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* One look at the list of threads: signals those not seen before; the number of those that
 * have yet to park, or -1. */
static int look(int self, struct abi_failure *failure)
{
	static char buffer[4096] __attribute__((aligned(8)));
	int fd = SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	int missing = 0;
	long n = fd;

	while (fd >= 0 && (n = SYSCALL_3(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			struct directory_entry *entry = (struct directory_entry *)(buffer + at);
			int tid = 0;

			at += entry->length;
			for (const char *p = entry->name; *p >= '0' && *p <= '9'; p++)
				tid = tid * 10 + (*p - '0');
			if (tid == 0 || tid == self || has(parked_tids, tid))
				continue;
			if (has(signalled, tid)) {
				if (is_dead(tid))
					continue;
			} else if (signal_task(tid, failure)) {
				SYSCALL_1(SYS_close, fd);
				return -1;
			}
			failure->tid = tid;
			missing++;
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

/* Parks every other thread; 0, or -1 with the reason. Whoever is parked stays so until park_release. */
int park_siblings(struct abi_failure *failure)
{
	int self = SYSCALL_0(SYS_gettid);

	for (int round = 0; round < PARK_BOUND; round++) {
		int missing = look(self, failure);
		unsigned count;

		if (missing <= 0)
			return missing;
		count = load(&parked_count);
		if (count < signalled_count)
			futex_wait(&parked_count, count, 1000000);
		while ((count = load(&parked_count)) < signalled_count && round == 0 && count != 0) {
			/* the first round: they are on their way, one after the other */
			futex_wait(&parked_count, count, 1000000);
			if (load(&parked_count) == count)
				break;
		}
	}
	failure->code = ABI_FAILED_PARK;
	failure->detail = PARK_BOUND;
	failure->line = __LINE__;
	return -1;
}

/* Before the next freeze; while the parked are still parked, whose stacks hold the list. */
void park_forget(void)
{
	for (int word = lowest_tid / 64; word <= highest_tid / 64; word++) {
		if (signalled[word])
			signalled[word] = 0;
		if (parked_tids[word])
			parked_tids[word] = 0;
	}
	for (struct parked *p = list; p; p = p->next)
		parked_tids[p->thread.tid / 64] = 0;
	list = NULL;
	lowest_tid = highest_tid = 0;
	parked_count = signalled_count = 0;
}
