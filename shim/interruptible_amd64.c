/* The blocking system calls that a signal handler interrupts, as listed in signal(7). */

#include "resident.h"

static const struct {
	short number;
	short when;
} calls[] = {
	{ SYS_read, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_readv, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_write, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_writev, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_ioctl, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_open, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_openat, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_wait4, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_waitid, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_flock, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_fcntl, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_mq_timedsend, INTERRUPTED_WITHOUT_RESTART },
	{ SYS_mq_timedreceive, INTERRUPTED_WITHOUT_RESTART },

	/* SA_RESTART does not restart these where the socket has a timeout (SO_RCVTIMEO, SO_SNDTIMEO). */
	{ SYS_accept, INTERRUPTED_WITHOUT_RESTART | INTERRUPTED_ALWAYS },
	{ SYS_accept4, INTERRUPTED_WITHOUT_RESTART | INTERRUPTED_ALWAYS },
	{ SYS_connect, INTERRUPTED_WITHOUT_RESTART | INTERRUPTED_ALWAYS },
	{ SYS_recvfrom, INTERRUPTED_WITHOUT_RESTART | INTERRUPTED_ALWAYS },
	{ SYS_recvmsg, INTERRUPTED_WITHOUT_RESTART | INTERRUPTED_ALWAYS },
	{ SYS_sendmsg, INTERRUPTED_WITHOUT_RESTART | INTERRUPTED_ALWAYS },
	{ SYS_sendto, INTERRUPTED_WITHOUT_RESTART | INTERRUPTED_ALWAYS },
	{ SYS_recvmmsg, INTERRUPTED_ALWAYS },

	{ SYS_clock_nanosleep, INTERRUPTED_ALWAYS },
	{ SYS_epoll_pwait, INTERRUPTED_ALWAYS },
	{ SYS_epoll_pwait2, INTERRUPTED_ALWAYS },
	{ SYS_epoll_wait, INTERRUPTED_ALWAYS },
	{ SYS_futex, INTERRUPTED_ALWAYS },
	{ 449 /* futex_waitv */, INTERRUPTED_ALWAYS },
	{ 455 /* futex_wait */, INTERRUPTED_ALWAYS },
	{ SYS_io_getevents, INTERRUPTED_ALWAYS },
	{ SYS_msgrcv, INTERRUPTED_ALWAYS },
	{ SYS_msgsnd, INTERRUPTED_ALWAYS },
	{ SYS_nanosleep, INTERRUPTED_ALWAYS },
	{ SYS_pause, INTERRUPTED_ALWAYS },
	{ SYS_poll, INTERRUPTED_ALWAYS },
	{ SYS_ppoll, INTERRUPTED_ALWAYS },
	{ SYS_pselect6, INTERRUPTED_ALWAYS },
	{ SYS_rt_sigsuspend, INTERRUPTED_ALWAYS },
	{ SYS_rt_sigtimedwait, INTERRUPTED_ALWAYS },
	{ SYS_select, INTERRUPTED_ALWAYS },
	{ SYS_semop, INTERRUPTED_ALWAYS },
	{ SYS_semtimedop, INTERRUPTED_ALWAYS },
};

int is_interruptible(int number, enum interrupted when)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].number == number)
			return calls[i].when & when;
	return 0;
}
