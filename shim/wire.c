/* The resident's end of the socket to the writer (abi.h). Every wait in this file is bounded. */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "resident.h"

/* Returns the writer's PID in the program's PID namespace, or 0 if the writer is outside of that namespace. */
int wire_peer(int socket)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (SYSCALL_5(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return 0;
	return peer.pid;
}

/* Connects to the writer's socket. Returns a descriptor or -errno. */
int wire_connect(uint64_t name)
{
	static const char prefix[] = ABI_SOCKET_PREFIX;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char *p = address.sun_path + 1;
	int fd, error;

	for (size_t i = 0; i < sizeof(prefix) - 1; i++)
		*p++ = prefix[i];
	for (int shift = 60; shift >= 0; shift -= 4)
		*p++ = "0123456789abcdef"[name >> shift & 15];
	fd = descriptor_opened(SYSCALL_3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd < 0)
		return fd;
	error = SYSCALL_3(SYS_connect, fd, &address, p - (char *)&address);
	if (error) {
		descriptor_close(fd);
		return error;
	}
	return fd;
}

/* Waits until the socket is ready or the time is `until`. Returns 0 (the caller tries again), -ETIMEDOUT or another -errno. */
static int wait_for(int socket, int events, long until)
{
	struct pollfd fd = { .fd = socket, .events = events };
	long left = until - milliseconds();
	struct timespec timeout = { left / 1000, left % 1000 * 1000000 };
	long n;

	if (left <= 0)
		return -ETIMEDOUT;
	n = SYSCALL_5(SYS_ppoll, &fd, 1, &timeout, NULL, 0);
	return n < 0 && n != -EINTR ? n : 0;
}

/* Sends all parts and changes the array. Returns 0 or -errno: -EPIPE, without a signal, if the writer is dead. One call sends
 * as much as possible, because each call wakes the writer. */
int wire_write(int socket, struct iovec *parts, int count)
{
	long until = milliseconds() + resident.freeze_limit;

	while (count > 0) {
		struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
		long n = SYSCALL_3(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			n = wait_for(socket, POLLOUT, until);
			if (n == 0)
				continue;
		}
		if (n < 0)
			return n;
		for (; count > 0 && (size_t)n >= parts->iov_len; count--)
			n -= parts++->iov_len;
		if (count > 0) {
			parts->iov_base = (char *)parts->iov_base + n;
			parts->iov_len -= n;
		}
	}
	return 0;
}

/* How often to poll for a request before the thread sleeps. Most requests arrive before a sleeping processor could wake up,
 * above all a virtual one. Between two looks sched_yield(2) lets other threads run.
 * In a group, each look of a member takes a processor from the others. So the members look less often, the more they are. */
#define SPIN_LIMIT 2000

static long read_some(int socket, void *data, size_t length, long until)
{
	unsigned members = own.members + !own.members, looks = SPIN_LIMIT / members / members;

	for (unsigned look = 0;; look++) {
		long n = SYSCALL_6(SYS_recvfrom, socket, data, length, 0, NULL, NULL);

		if (n == -EINTR)
			continue;
		if (n != -EAGAIN)
			return n;
		if (look < looks) {
			SYSCALL_0(SYS_sched_yield);
			continue;
		}
		n = wait_for(socket, POLLIN, until);
		if (n)
			return n;
	}
}

/* Reads `length` bytes. Returns 0, -EPIPE at the end of the stream, -ETIMEDOUT at the time `until`, or another -errno. */
int wire_read(int socket, void *data, size_t length, long until)
{
	while (length > 0) {
		long n = read_some(socket, data, length, until);

		if (n <= 0)
			return n ? n : -EPIPE;
		data = (char *)data + n;
		length -= n;
	}
	return 0;
}

int wire_send(int socket, unsigned type, unsigned count, const void *body, size_t length)
{
	struct abi_message message = { type, count, length };
	struct iovec parts[] = { { &message, sizeof(message) }, { (void *)body, length } };

	return wire_write(socket, parts, 2);
}

int wire_hello(int socket, int dumpable)
{
	struct abi_hello hello = {
		.magic = ABI_MAGIC,
		.version = ABI_VERSION,
		.pid = SYSCALL_0(SYS_getpid),
		.tid = SYSCALL_0(SYS_gettid),
		.dumpable = dumpable,
		.holds = load(&own.holds),
		.socket = socket,
		.trigger = trigger_in_force(),
		.restarts = resident.restarts,
		.cpu = (uint64_t)&own.cpu,
		.cpu_threads = (uint64_t)cpu_threads,
		.cpu_clock = (uint64_t)crak_cpu_clock,
		.used = own.cpu.process,
		.children_used = own.cpu.children,
		.limit = resident.freeze_limit,
	};
	struct abi_message message = { ABI_HELLO, 1, sizeof(hello) + resident.settings_length };
	struct iovec parts[] = {
		{ &message, sizeof(message) },
		{ &hello, sizeof(hello) },
		{ resident.settings, resident.settings_length },
	};

	return wire_write(socket, parts, 3);
}
