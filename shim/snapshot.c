/*
 * The twin: a fork of the frozen process. It keeps a copy-on-write copy of the private memory until the writer has read it, while
 * the program goes on. Its exit signal is not SIGCHLD. So the program gets no signal and does not see the twin in
 * waitpid(-1). The twin tells the program when it ends (ending.c).
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>

#include "resident.h"

/*
 * If memory runs out, in a control group or in the machine, the kernel must kill the twin rather than the program. The twin has
 * memory of its own, so the score applies only to it. (A process that shares the program's memory, like the reaper, would
 * change the program's score, too.)
 */
static void offer_to_oom(void)
{
	long fd = SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, 0);

	if (fd < 0)
		return;
	SYSCALL_3(SYS_write, fd, "1000", 4);
	SYSCALL_1(SYS_close, fd);
}

/* Runs in the twin: waits until the writer closes its end of the socket, or dies. Then the twin exits. */
static void __attribute__((noreturn)) keep_memory(int socket, struct maker maker)
{
	struct pollfd end = { .fd = 0, .events = POLLRDHUP };

	tracer_allow(wire_peer(socket));
	SYSCALL_0(SYS_setsid); /* otherwise the twin would stay in the program's process group and keep its ID in use */
	SYSCALL_3(SYS_dup3, socket, 0, 0);
	SYSCALL_3(SYS_close_range, 1, ~0u, 0); /* the next open needs a free descriptor */
	offer_to_oom();
	while (!(end.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)))
		SYSCALL_4(SYS_ppoll, &end, 1, NULL, NULL);
	ending_report_free(maker);
}

/* Forks the twin. Returns its PID or -errno. */
long snapshot(int socket)
{
	struct maker maker = ending_maker();
	int *place = spawn_place();
	long pid;

	if (!place)
		return -EAGAIN;
	pid = SYSCALL_3(SYS_clone, CLONE_PARENT_SETTID | ABI_EXIT_SIGNAL, 0, place);
	if (pid == 0) {
		if (socket == 0)
			socket = SYSCALL_1(SYS_dup, socket);
		keep_memory(socket, maker);
	}
	if (pid < 0)
		store(place, 0);
	return pid;
}
