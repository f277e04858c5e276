/*
 * Finds out from /proc/PID/task/TID/children whether the program has other children than the reaper and the twin.
 *
 * Other threads of the program may open files at the same time, and rely on getting the lowest free descriptor. So a child
 * process reads the file. It shares the program's memory, and has a separate descriptor table.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resident.h"

/* Used by one thread at a time: own.looking guards it. */
static char stack[3072] __attribute__((aligned(16)));

static char *append(char *p, const char *text)
{
	while ((*p = *text++))
		p++;
	return p;
}

#define LOOK_BOUND 10000 /* milliseconds: another thread may be about to make a reaper, and not run for a while */
#define LOOK_PAUSE 50000 /* nanoseconds between two looks */
#define UNKNOWN -1 /* /proc does not show the children */

/* What the process that reads /proc searches, and its result. */
struct search {
	int pid;   /* of the program */
	int other; /* PID of a child that is not in own.children; 0: there is none; or UNKNOWN */
};

/* Returns the first child of a thread that is not in own.children, 0 or UNKNOWN. */
static int other_of_thread(int tid)
{
	char path[32], text[256], *end = decimal_write(path, tid, 1);
	int fd, pid;
	long n;

	append(end, "/children");
	fd = SYSCALL_4(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0) {
		append(end, "/stat");
		return SYSCALL_3(SYS_faccessat, AT_FDCWD, path, F_OK) ? 0 : UNKNOWN; /* 0: the thread has ended */
	}
	n = SYSCALL_3(SYS_read, fd, text, sizeof(text) - 1);
	SYSCALL_1(SYS_close, fd);
	if (n < 0)
		return n == -ESRCH ? 0 : UNKNOWN;
	text[n] = 0;
	for (const char *p = text; *p >= '0' && *p <= '9'; p += *p == ' ')
		if (p = decimal_read(p, &pid), !spawn_is_noted(pid))
			return pid;
	return n < (long)sizeof(text) - 1 ? 0 : UNKNOWN;
}

/* Preconditions: the working directory is /proc/PID/task. */
static int other_of_process(void)
{
	char buffer[512] __attribute__((aligned(8)));
	int fd = SYSCALL_4(SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0);
	long n;

	while ((n = SYSCALL_3(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			struct directory_entry *entry = (struct directory_entry *)(buffer + at);
			int tid, other;

			decimal_read(entry->name, &tid);
			other = tid > 0 ? other_of_thread(tid) : 0;
			if (other)
				return other; /* this process exits next, and the kernel closes fd */
			at += entry->length;
		}
	}
	return n < 0 ? UNKNOWN : 0;
}

static int look(void *argument)
{
	struct search *search = argument;
	char path[32];

	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	append(decimal_write(append(path, "/proc/"), search->pid, 1), "/task");
	if (SYSCALL_1(SYS_chdir, path) == 0)
		search->other = other_of_process();
	return 0;
}

/* Makes the process that reads /proc, and returns what it finds. Preconditions: every signal is blocked. That process inherits the
 * signal mask, and must not run a handler of the program. */
static int find_other(void)
{
	struct search search = { SYSCALL_0(SYS_getpid), UNKNOWN };
	int *place = spawn_place();
	long pid;

	if (!place)
		return UNKNOWN;
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | ABI_EXIT_SIGNAL, stack + sizeof(stack), look,
			    &search, place, NULL);
	if (pid < 0)
		store(place, 0);
	else
		spawn_await(pid);
	return search.other;
}

/* Calls find_other with every signal blocked, and in one thread at a time. Other threads wait some microseconds. */
static int find_other_alone(void)
{
	unsigned long all = ~0ul, mask;
	int other;

	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	while (__atomic_exchange_n(&own.looking, 1, __ATOMIC_SEQ_CST))
		futex_wait(&own.looking, 1, 1000000);
	other = find_other();
	store(&own.looking, 0);
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	return other;
}

static int is_child(int pid)
{
	return SYSCALL_5(SYS_waitid, P_PID, pid, NULL, WNOHANG | WNOWAIT | WEXITED | __WALL, NULL) == 0;
}

/*
 * Returns 1 if the program has another child, or if that cannot be found out. The kernel lists a reaper or a twin shortly before
 * its PID is in own.children, and may still list it after it was reaped. So one look that finds another child does not suffice.
 */
int has_other_children(void)
{
	long until = milliseconds() + LOOK_BOUND;
	unsigned never = 0;

	do {
		int other = find_other_alone(), making = spawn_is_making();

		if (other == 0)
			return 0;
		if (other == UNKNOWN || (!making && !spawn_is_noted(other) && is_child(other)))
			return 1;
		futex_wait(&never, 0, LOOK_PAUSE);
	} while (milliseconds() < until);
	return 1;
}
