/* clock_nanosleep(2) and timer_settime(2) with an absolute CPU time, after a restart (cpu_time.c). */

#include <fcntl.h>
#include <time.h>

#include "resident.h"

static struct {
	int (*clock_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
	int (*timer_settime)(timer_t, int, const struct itimerspec *, struct itimerspec *);
} next;

void cpu_prepare(void)
{
	if (load(&next.timer_settime))
		return;
	next.clock_nanosleep = next_function("clock_nanosleep");
	store(&next.timer_settime, next_function("timer_settime"));
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
	struct timespec shifted;

	cpu_prepare();
	if (flags & TIMER_ABSTIME && own.cpu.process.total_ns) {
		shifted = *time;
		cpu_shift(&shifted, clock);
		time = &shifted;
	}
	return next.clock_nanosleep(clock, flags, time, left);
}

/* Reads a file of /proc byte by byte. */
struct reader {
	int fd;
	long length, at;
	char buffer[512];
};

static int next_byte(struct reader *r)
{
	if (r->at == r->length) {
		r->at = 0;
		r->length = SYSCALL_3(SYS_read, r->fd, r->buffer, sizeof(r->buffer));
		if (r->length <= 0)
			return r->length = 0, -1;
	}
	return r->buffer[r->at++];
}

/* Finds the next line that begins with `name` and reads the number after it. Returns 1, or 0 at the end of the file. */
static int next_number(struct reader *r, const char *name, int *number)
{
	int byte = next_byte(r);

	while (byte >= 0) {
		const char *p = name;
		int negative;

		while (*p && byte == *p) {
			p++;
			byte = next_byte(r);
		}
		if (!*p) {
			negative = byte == '-';
			if (negative)
				byte = next_byte(r);
			for (*number = 0; byte >= '0' && byte <= '9'; byte = next_byte(r))
				*number = *number * 10 + (byte - '0');
			if (negative)
				*number = -*number;
			return 1;
		}
		while (byte >= 0 && byte != '\n')
			byte = next_byte(r);
		byte = next_byte(r);
	}
	return 0;
}

/* Returns the clock of the timer with this number in the kernel, or CLOCK_REALTIME if it is unknown (which needs no shift). */
static int clock_of(int timer)
{
	struct reader r = { .fd = SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/timers", O_RDONLY | O_CLOEXEC, 0) };
	int id = -1, clock = CLOCK_REALTIME;

	if (r.fd < 0)
		return clock;
	while (id != timer && next_number(&r, "ID: ", &id))
		;
	if (id == timer)
		next_number(&r, "ClockID: ", &clock);
	SYSCALL_1(SYS_close, r.fd);
	return clock;
}

/* timer_t is the kernel's number, except for a timer that notifies by a thread: there it is a negative value internal to glibc. */
EXPORT int timer_settime(timer_t timer, int flags, const struct itimerspec *time, struct itimerspec *old)
{
	struct itimerspec shifted;

	cpu_prepare();
	if (flags & TIMER_ABSTIME && own.cpu.process.total_ns && (intptr_t)timer >= 0 && time) {
		shifted = *time;
		cpu_shift(&shifted.it_value, clock_of((int)(intptr_t)timer));
		time = &shifted;
	}
	return next.timer_settime(timer, flags, time, old);
}
