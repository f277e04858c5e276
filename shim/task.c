/* What /proc shows of a thread of this process. */

#include <errno.h>
#include <fcntl.h>

#include "resident.h"

static char *path_of_task(char *path, int tid, const char *file)
{
	static const char prefix[] = "/proc/self/task/";
	char *p = path;

	for (size_t i = 0; i < sizeof(prefix) - 1; i++)
		*p++ = prefix[i];
	p = decimal_write(p, tid, 1);
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

/* Returns the state letter of /proc/self/task/TID/stat, 'X' if the thread is gone, or -errno if the file cannot be read. A
 * thread group leader that has called pthread_exit stays a zombie ('Z') until the process ends; other threads are zombies only
 * for a moment. */
int task_state(int tid)
{
	char stat[128];
	char *p, *state = NULL;
	long n = read_task_file(tid, "/stat", stat, sizeof(stat));

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

/* Reads /proc/self/task/TID/syscall: "number args… sp ip", with six arguments. */
struct blocked_syscall task_blocked_syscall(int tid)
{
	struct blocked_syscall blocked = { .number = -1 };
	char text[256];
	const char *p = text;
	uint64_t value;

	if (read_task_file(tid, "/syscall", text, sizeof(text)) <= 0 || *p < '0' || *p > '9')
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
