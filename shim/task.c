/* What /proc shows of a thread of this process (pid 0) or of another one. */

#include <errno.h>
#include <fcntl.h>

#include "resident.h"

static char *append(char *p, const char *text)
{
	while ((*p = *text++))
		p++;
	return p;
}

static int open_task_file(int pid, int tid, const char *file)
{
	char path[64], *p = append(path, "/proc/");

	p = append(pid ? decimal_write(p, pid, 1) : append(p, "self"), "/task/");
	append(decimal_write(p, tid, 1), file);
	return SYSCALL_4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static long read_task_file(int pid, int tid, const char *file, char *buffer, size_t size)
{
	int fd = open_task_file(pid, tid, file);
	long n;

	if (fd < 0)
		return fd;
	n = SYSCALL_3(SYS_read, fd, buffer, size - 1);
	SYSCALL_1(SYS_close, fd);
	if (n >= 0)
		buffer[n] = 0;
	return n;
}

/* Returns the state letter of /proc/PID/task/TID/stat, 'X' if the thread is gone, or -errno if the file cannot be read. A
 * thread group leader that has called pthread_exit stays a zombie ('Z') until the process ends; other threads are zombies only
 * for a moment. */
int task_state(int pid, int tid)
{
	char stat[128];
	char *p, *state = NULL;
	long n = read_task_file(pid, tid, "/stat", stat, sizeof(stat));

	if (n == -ENOENT || n == -ESRCH)
		return 'X';
	if (n <= 0)
		return n ? n : -EIO;
	for (p = stat; *p; p++)
		if (p[0] == ')' && p[1] == ' ')
			state = p + 2;
	return state ? *state : -EIO;
}

/* Reads a number after " 0x". Returns the address of the first byte after it. */
static const char *hexadecimal(const char *p, uint64_t *value)
{
	for (*value = 0; *p == ' ' || *p == '0' || *p == 'x'; p++)
		;
	for (;; p++) {
		if (*p >= '0' && *p <= '9')
			*value = *value << 4 | (*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			*value = *value << 4 | (*p - 'a' + 10);
		else
			return p;
	}
}

/* Reads /proc/PID/task/TID/syscall: "number args… sp ip", with six arguments. */
struct blocked_syscall task_blocked_syscall(int pid, int tid)
{
	struct blocked_syscall blocked = { .number = -1 };
	char text[256];
	const char *p = text;
	uint64_t value;

	if (read_task_file(pid, tid, "/syscall", text, sizeof(text)) <= 0 || *p < '0' || *p > '9')
		return blocked;
	p = decimal_read(p, &blocked.number);
	for (int i = 0; i < 6; i++) {
		p = hexadecimal(p, &value);
		blocked.arguments = (blocked.arguments ^ value) * ABI_SUM;
	}
	p = hexadecimal(p, &value);
	hexadecimal(p, &value);
	blocked.ip = value;
	return blocked;
}

/* Tells whether a set of signals in /proc/PID/task/TID/status has the freeze signal. key: 9 characters, from the newline before the name of the
 * set to the tab behind it. */
static int set_has_freeze_signal(int pid, int tid, const char *key)
{
	enum { KEY = 9 };
	int fd = open_task_file(pid, tid, "/status"), matched = 0;
	uint64_t set = 0;
	char text[256];
	long n;

	if (fd < 0)
		return 0;
	while ((n = SYSCALL_3(SYS_read, fd, text, sizeof(text))) > 0) {
		for (long i = 0; i < n; i++) {
			char c = text[i];

			if (matched < KEY)
				matched = c == key[matched] ? matched + 1 : c == key[0];
			else if (c == '\n')
				matched = KEY + 1;
			else if (matched == KEY)
				set = set << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
		}
	}
	SYSCALL_1(SYS_close, fd);
	return set >> (ABI_FREEZE_SIGNAL - 1) & 1;
}

/* Returns 1 if the process has a handler for the freeze signal. */
int task_handles_freeze_signal(int pid, int tid)
{
	return set_has_freeze_signal(pid, tid, "\nSigCgt:\t");
}

/* Returns 1 if the freeze signal is pending for the thread. */
int task_has_order(int pid, int tid)
{
	return set_has_freeze_signal(pid, tid, "\nSigPnd:\t");
}
