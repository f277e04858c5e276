/* The resident's end of the wire (abi.h): a stream socket to the writer that asked. */

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "resident.h"

static int peer_is_trusted(int socket)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (SYSCALL_5(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return 0;
	return peer.uid == 0 || peer.uid == (uid_t)SYSCALL_0(SYS_geteuid) ||
	       peer.uid == (uid_t)SYSCALL_0(SYS_getuid);
}

/* PID of the writer in our PID namespace, 0 if it is outside of it. */
int wire_peer(int socket)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (SYSCALL_5(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return 0;
	return peer.pid;
}

/* Connects to the writer's socket; a descriptor or -errno. */
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
	fd = SYSCALL_3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	error = SYSCALL_3(SYS_connect, fd, &address, p - (char *)&address);
	if (!error && !peer_is_trusted(fd))
		error = -EPERM;
	if (error) {
		SYSCALL_1(SYS_close, fd);
		return error;
	}
	return fd;
}

/* All parts or -errno; a writer that died gives -EPIPE and no signal. In one go where that is
 * possible: each piece would wake the writer. The parts are used up. */
int wire_write(int socket, struct iovec *parts, int count)
{
	while (count > 0) {
		struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
		long n = SYSCALL_3(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);

		if (n == -EINTR)
			continue;
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

/* How often to look for an order before going to sleep for it: to wake a processor, above all a virtual one, takes longer
 * than most orders. Whoever else has something to do gets the processor in between. */
#define LOOKS 2000

static long read_some(int socket, void *data, size_t length)
{
	for (int look = 0; look < LOOKS; look++) {
		long n = SYSCALL_6(SYS_recvfrom, socket, data, length, MSG_DONTWAIT, NULL, NULL);

		if (n != -EAGAIN)
			return n;
		SYSCALL_0(SYS_sched_yield);
	}
	return SYSCALL_6(SYS_recvfrom, socket, data, length, 0, NULL, NULL);
}

/* All of it; -EPIPE at the end of the stream. */
int wire_read(int socket, void *data, size_t length)
{
	while (length > 0) {
		long n = read_some(socket, data, length);

		if (n == -EINTR)
			continue;
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
		.holds = load(&resident.holds),
		.socket = socket,
		.trigger = trigger_in_force(),
		.restarts = resident.restarts,
		.cpu = (uint64_t)&own.cpu,
		.cpu_threads = (uint64_t)cpu_threads,
		.cpu_clock = (uint64_t)crak_cpu_clock,
		.used = own.cpu.process,
		.children_used = own.cpu.children,
	};
	struct abi_message message = { ABI_HELLO, 1, sizeof(hello) + resident.settings_length };
	struct iovec parts[] = {
		{ &message, sizeof(message) },
		{ &hello, sizeof(hello) },
		{ resident.settings, resident.settings_length },
	};

	return wire_write(socket, parts, 3);
}
