/*
 * The twin: a fork of the frozen process that owns a copy-on-write picture of
 * its private memory until the writer has read it. Its exit signal is the
 * freeze signal: no SIGCHLD, nothing for the program's waitpid(-1) to see, and
 * the handler reaps it the moment it is dead, however it died.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>

#include "resident.h"

/*
 * When memory runs out, in a control group or in the machine, the kernel ends the twin and not the program. Only this process
 * has this score: a process that shares the program's memory (the reaper) would set the program's, too.
 */
static void offer_to_oom(void)
{
	long fd = SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, 0);

	if (fd < 0)
		return;
	SYSCALL_3(SYS_write, fd, "1000", 4);
	SYSCALL_1(SYS_close, fd);
}

/* Holds the picture until the other end of the socket is closed: the writer is done or dead. */
static void __attribute__((noreturn)) hold_picture(int socket)
{
	struct pollfd end = { .fd = 0, .events = POLLRDHUP };

	tracer_admit(wire_peer(socket));
	SYSCALL_0(SYS_setsid); /* or the program's PID stays taken, as that of our process group */
	SYSCALL_3(SYS_dup3, socket, 0, 0);
	SYSCALL_3(SYS_close_range, 1, ~0u, 0); /* a descriptor is free for what follows */
	offer_to_oom();
	while (!(end.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)))
		SYSCALL_4(SYS_ppoll, &end, 1, NULL, NULL);
	for (;;)
		SYSCALL_1(SYS_exit_group, 0);
}

/* PID of the twin or -errno. */
long snapshot(int socket)
{
	int *place = spawn_place();
	long pid;

	if (!place)
		return -EAGAIN;
	pid = SYSCALL_3(SYS_clone, CLONE_PARENT_SETTID | ABI_FREEZE_SIGNAL, 0, place);
	if (pid == 0) {
		if (socket == 0)
			socket = SYSCALL_1(SYS_dup, socket);
		hold_picture(socket);
	}
	return pid;
}
