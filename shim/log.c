/*
 * The only line that the resident itself writes into crak.log: why no writer could be started. Every other line comes from
 * a writer (coord/log.go).
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "resident.h"

struct line {
	char text[96]; /* the time, a PID and an error number */
	int length;
};

static void put(struct line *line, const char *text)
{
	while (*text && line->length < (int)sizeof(line->text))
		line->text[line->length++] = *text++;
}

/* Adds a number with at least so many digits. */
static void put_number(struct line *line, long number, int digits)
{
	char text[DECIMAL_MAX];

	decimal_write(text, number, digits);
	put(line, text);
}

/* Adds the time in RFC 3339 format, in UTC. The calculation uses years that begin in March, so a leap day is the last day of
 * a year. */
static void put_time(struct line *line, long seconds)
{
	long day = seconds / 86400 + 719468, second = seconds % 86400;
	long era = day / 146097, of_era = day % 146097;
	long year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	long of_year = of_era - (365 * year + year / 4 - year / 100);
	long month = (5 * of_year + 2) / 153;
	const struct {
		long number;
		int digits;
		const char *after;
	} parts[] = {
		{ year + era * 400 + (month >= 10), 4, "-" },
		{ month < 10 ? month + 3 : month - 9, 2, "-" },
		{ of_year - (153 * month + 2) / 5 + 1, 2, "T" },
		{ second / 3600, 2, ":" },
		{ second / 60 % 60, 2, ":" },
		{ second % 60, 2, "Z " },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		put_number(line, parts[i].number, parts[i].digits);
		put(line, parts[i].after);
	}
}

/* error: the -errno of spawn_writer or of execve; -ECHILD if the writer has ended and logged nothing; -ELIBBAD if the dynamic
 * loader could not load it. A % in the text stands for the path of libcrak.so. */
static const char *reason(int error)
{
	switch (error) {
	case -EBUSY:
		return "another checkpoint of it is under way";
	case -ECHILD:
		return "the process that writes the image ended and logged no reason: it was killed, or it had too little memory "
		       "(ulimit -v, -d, -s) or too few descriptors (-n); use crak checkpoint, to which the program's limits do "
		       "not apply";
	case -EXDEV:
		return "the kernel creates the program's child processes in another PID namespace (unshare(2)), and would create the "
		       "process that writes the image there, too; start the program in that namespace: unshare(1), then crak run";
	case -EAGAIN:
		return "the process that writes the image cannot be started: there are too many processes (raise the limit with "
		       "ulimit -u), or the thread has the policy SCHED_DEADLINE and cannot fork; use crak checkpoint";
	case -ENOENT:
		return "% does not exist, or the dynamic loader that starts it (ld.so(8)) does not; use crak checkpoint";
	case -ELIBBAD:
		return "the dynamic loader cannot load % (execute this file to see the reason); use crak checkpoint";
	}
	return NULL;
}

static struct iovec part(const char *from, const char *to)
{
	return (struct iovec){ (void *)from, to - from };
}

static const char *end_of(const char *text, char last)
{
	while (*text && *text != last)
		text++;
	return text;
}

void log_failure(int error)
{
	struct line line = { .length = 0 };
	struct timespec now = { 0, 0 };
	const char *why = reason(error), *path;
	struct iovec parts[5];
	struct stat file;
	int fd, n = 1;

	SYSCALL_2(SYS_clock_gettime, CLOCK_REALTIME, &now);
	put_time(&line, now.tv_sec);
	put(&line, "pid ");
	put_number(&line, load(&own.pid), 1); /* not getpid(): the caller may be the reaper */
	put(&line, ": no checkpoint: ");
	if (!why) {
		put(&line, "errno ");
		put_number(&line, -error, 1);
		why = ": the process that writes the image cannot be started";
	}
	parts[0] = part(line.text, line.text + line.length);
	path = end_of(why, '%');
	parts[n++] = part(why, path);
	if (*path) {
		parts[n++] = part(resident.library, end_of(resident.library, 0));
		parts[n++] = part(path + 1, end_of(path + 1, 0));
	}
	parts[n++] = (struct iovec){ "\n", 1 };
	fd = SYSCALL_4(SYS_openat, AT_FDCWD, resident.log,
		       O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	/* In a directory such as /tmp another user could have made the file. */
	if (!SYSCALL_2(SYS_fstat, fd, &file) && (file.st_uid == 0 || file.st_uid == (uid_t)SYSCALL_0(SYS_geteuid)))
		SYSCALL_3(SYS_writev, fd, parts, n);
	SYSCALL_1(SYS_close, fd);
}
