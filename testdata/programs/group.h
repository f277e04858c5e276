/* Functions for workloads of several processes. The processes signal each other by files, which need no feature under test. */
#ifndef GROUP_H
#define GROUP_H

#include "check.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static inline void name_of(char *name, size_t size, const char *format, va_list args)
{
	CHECK(vsnprintf(name, size, format, args) < (int)size);
}

/*
 * mark makes an empty file. mknod(2) does not open it: a process may make a mark during a checkpoint, and an image of that moment must not
 * have a descriptor of it. After a restart there may be the file of the earlier run.
 */
__attribute__((format(printf, 1, 2))) static inline void mark(const char *format, ...)
{
	char name[64];
	va_list args;

	va_start(args, format);
	name_of(name, sizeof name, format, args);
	va_end(args);
	CHECK(mknod(name, S_IFREG | 0600, 0) == 0 || errno == EEXIST);
}

/* await_mark waits until there is such a file. */
__attribute__((format(printf, 1, 2))) static inline void await_mark(const char *format, ...)
{
	char name[64];
	va_list args;

	va_start(args, format);
	name_of(name, sizeof name, format, args);
	va_end(args);
	await_file(name);
}

/* child makes a process that runs f(arg) and exits with its value. */
static inline pid_t child(int (*f)(long), long arg)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		_exit(f(arg));
	return pid;
}

/* reap waits for a child, which must exit with this code. */
static inline void reap(pid_t pid, int code)
{
	int status;

	EQUAL(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		fail("pid %d: wait status %#x, want exit code %d", pid, status, code);
}

/* state_of is the state letter of a process (proc_pid_stat(5)), 0 where there is none. */
static inline char state_of(pid_t pid)
{
	char path[32], text[512], *end;
	int fd;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	CHECK(close(fd) == 0);
	if (n <= 0)
		return 0;
	text[n] = 0;
	end = strrchr(text, ')');
	CHECK(end && end[1] == ' ');
	return end[2];
}

static inline void await_state(pid_t pid, char state)
{
	while (state_of(pid) != state)
		pause_ms(1);
}

/*
 * await_end waits until a child has ended, and its parent, this process, has been told. /proc may show the state Z a moment before the kernel
 * sends SIGCHLD.
 */
static inline void await_end(pid_t pid)
{
	siginfo_t info;

	CHECK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
}

/*
 * await_call waits until the main thread of a process sleeps in a system call of this number, or until the file go exists.
 */
static inline void await_call(pid_t pid, long number)
{
	char path[32], text[256];

	snprintf(path, sizeof path, "/proc/%d/syscall", pid);
	do {
		if (access("go", F_OK) == 0)
			return;
		pause_ms(1);
		slurp(path, text, sizeof text);
	} while (text[0] < '0' || text[0] > '9' || atol(text) != number);
}

/* shared is zeroed memory that children share. */
static inline void *shared(size_t size)
{
	void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

#endif
