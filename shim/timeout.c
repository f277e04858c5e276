/* The system calls with a relative timeout, and how much of it is left. */

#include <linux/futex.h>
#include <sys/socket.h>
#include <time.h>

#include "resident.h"
#include "timeout.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_io_pgetevents
#define SYS_io_pgetevents 333
#endif

#define LONGEST (1000000000LL * 1000000000) /* 30 years: a longer timeout counts as none, and could overflow */

/* Returns 0 for CPU time clocks: they advance only while the thread or process runs. */
static int passes_with_time(int clock)
{
	return clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
}

/* Describes the relative timeout of a call that was interrupted. A call with an absolute timeout has none. */
struct timeout timeout_of(int number, const uint64_t *arguments)
{
	const struct timeout none = { .kind = TIMEOUT_NONE };
	struct timeout timespec = { .kind = TIMEOUT_TIMESPEC, .rest = -1 };
	struct timeout milliseconds = { .kind = TIMEOUT_MILLISECONDS, .rest = -1 };
	struct timeout receive = { .kind = TIMEOUT_SOCKET, .rest = -1, .socket_option = SO_RCVTIMEO };
	struct timeout send = { .kind = TIMEOUT_SOCKET, .rest = -1, .socket_option = SO_SNDTIMEO };

	switch (number) {
	case SYS_nanosleep:
		timespec.rest = 1;
		return timespec;
	case SYS_clock_nanosleep:
		timespec.argument = 2;
		timespec.rest = 3;
		return arguments[1] & TIMER_ABSTIME || !passes_with_time(arguments[0]) ? none : timespec;
	case SYS_ppoll:
		timespec.argument = 2;
		timespec.written = 1;
		return timespec;
	case SYS_pselect6:
		timespec.argument = 4;
		timespec.written = 1;
		return timespec;
	case SYS_select:
		return (struct timeout){ .kind = TIMEOUT_TIMEVAL, .argument = 4, .written = 1, .rest = -1 };
	case SYS_recvmmsg: /* the kernel checks its own timeout only after a message */
		timespec.argument = 4;
		timespec.written = 1;
		return timeout_left(&receive, arguments) < 0 ? timespec : receive;
	case SYS_futex:
		timespec.argument = 3;
		return (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT ? timespec : none;
	case SYS_rt_sigtimedwait:
		timespec.argument = 2;
		return timespec;
	case SYS_semtimedop:
	case SYS_epoll_pwait2:
		timespec.argument = 3;
		return timespec;
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		timespec.argument = 4;
		return timespec;
	case SYS_poll:
		milliseconds.argument = 2;
		return milliseconds;
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		milliseconds.argument = 3;
		return milliseconds;
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_accept:
	case SYS_accept4:
		return receive;
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_connect:
		return send;
	}
	return none;
}

static int64_t nanoseconds(const struct timespec *t, long unit)
{
	if (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_sec >= LONGEST / 1000000000)
		return -1;
	return t->tv_sec * 1000000000LL + t->tv_nsec * unit;
}

static int64_t at(uint64_t address, long unit)
{
	struct timespec t;

	return copy_in(&t, address, sizeof(t)) ? -1 : nanoseconds(&t, unit);
}

/* Returns the time that is left, in nanoseconds, or -1 if the call waits without limit. If the kernel has not written the time
 * that is left, the result is the whole timeout. */
int64_t timeout_left(const struct timeout *timeout, const uint64_t *arguments)
{
	uint64_t argument = arguments[timeout->argument];
	struct timespec t;
	unsigned length = sizeof(t);
	int64_t option;

	switch (timeout->kind) {
	case TIMEOUT_NONE:
		break;
	case TIMEOUT_TIMESPEC:
		if (timeout->rest >= 0 && arguments[timeout->rest])
			argument = arguments[timeout->rest];
		return argument ? at(argument, 1) : -1;
	case TIMEOUT_TIMEVAL:
		return argument ? at(argument, 1000) : -1;
	case TIMEOUT_MILLISECONDS:
		return (int)argument < 0 ? -1 : (int)argument * 1000000LL;
	case TIMEOUT_SOCKET:
		if (SYSCALL_5(SYS_getsockopt, argument, SOL_SOCKET, timeout->socket_option, &t, &length))
			return -1;
		option = nanoseconds(&t, 1000);
		return option == 0 ? -1 : option;
	}
	return -1;
}
