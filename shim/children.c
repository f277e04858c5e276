/*
 * Finds out from /proc/PID/task/TID/children whether the program has children other than reaper and twin.
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

#define LOOKS 100
#define NOBODY_KNOWS -1

/* What the child has to know, and what it finds. */
struct search {
	int pid;
	int other; /* PID of a child that is not noted as ours; 0: none; or NOBODY_KNOWS */
};

/* The first one that is not noted as ours. */
static int other_of_thread(int tid)
{
	char path[32], text[256], *end = decimal_write(path, tid, 1);
	int fd, pid;
	long n;

	append(end, "/children");
	fd = SYSCALL_4(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0) {
		append(end, "/stat");
		return SYSCALL_3(SYS_faccessat, AT_FDCWD, path, F_OK) ? 0 : NOBODY_KNOWS; /* 0: the thread has ended */
	}
	n = SYSCALL_3(SYS_read, fd, text, sizeof(text) - 1);
	SYSCALL_1(SYS_close, fd);
	if (n < 0)
		return n == -ESRCH ? 0 : NOBODY_KNOWS;
	text[n] = 0;
	for (const char *p = text; *p >= '0' && *p <= '9'; p += *p == ' ')
		if (p = decimal_read(p, &pid), !spawn_is_noted(pid))
			return pid;
	return n < (long)sizeof(text) - 1 ? 0 : NOBODY_KNOWS;
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
				return other; /* the descriptor goes with us */
			at += entry->length;
		}
	}
	return n < 0 ? NOBODY_KNOWS : 0;
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

/* Preconditions: every signal is blocked. No handler of the program's may run in the child, which begins with our mask. */
static int find_other(void)
{
	struct search search = { SYSCALL_0(SYS_getpid), NOBODY_KNOWS };
	int *place = spawn_place();
	long pid;

	if (!place)
		return NOBODY_KNOWS;
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | ABI_FREEZE_SIGNAL, stack + sizeof(stack), look,
			    &search, place, NULL);
	if (pid < 0)
		store(place, 0);
	else
		spawn_await(pid);
	return search.other;
}

/* One thread after the other: each takes microseconds. */
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

/* Returns 1 also if this cannot be found out. A reaper or twin is in the kernel's list a moment before its PID is noted,
 * and a moment after it was reaped. */
int has_other_children(void)
{
	for (int i = 0; i < LOOKS; i++) {
		int other = find_other_alone(), making = spawn_is_making();

		if (other == 0)
			return 0;
		if (other == NOBODY_KNOWS || (!making && !spawn_is_noted(other) && is_child(other)))
			return 1;
	}
	return 1;
}
