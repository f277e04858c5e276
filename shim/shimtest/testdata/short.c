/*
 * Makes a call that transfers a part of its data and blocks. Another thread then prints READY. When the call has returned, this
 * program prints RETURNED and the number of bytes, and compares them.
 *
 *	writev, sendmsg     to a socket
 *	splice              from a pipe to a socket
 *	recvmsg             from a socket, with MSG_WAITALL
 *
 *	short KIND
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE (1024 * 1024)
#define PART 5000 /* what recvmsg gets before it blocks */

static char data[SIZE], seen[SIZE];
static const char *kind;
static int near_end, far_end, source;

static int is(const char *name)
{
	return strcmp(kind, name) == 0;
}

static void check(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

/* Waits until the main thread is asleep in a system call. */
static void await_blocked(void)
{
	char path[64], text[128];

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", getpid());
	do {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		usleep(2000); /* no event tells that another thread is asleep */
		check(read(fd, text, sizeof(text)) > 0, "read");
		close(fd);
	} while (text[0] < '0' || text[0] > '9');
}

static void *other(void *unused)
{
	await_blocked();
	puts("READY");
	return unused;
}

static ssize_t call(void)
{
	struct iovec parts[] = { { data, 1000 }, { data + 1000, SIZE - 1000 } };
	struct iovec whole = { seen, SIZE };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	if (is("writev"))
		return writev(near_end, parts, 2);
	if (is("sendmsg"))
		return sendmsg(near_end, &message, MSG_NOSIGNAL);
	if (is("splice"))
		return splice(source, NULL, near_end, NULL, SIZE, 0);
	message.msg_iov = &whole;
	message.msg_iovlen = 1;
	return recvmsg(near_end, &message, MSG_WAITALL);
}

static void make_ends(void)
{
	int ends[2];

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	far_end = ends[0];
	near_end = ends[1];
	if (is("splice")) {
		check(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
		check(fcntl(ends[1], F_SETPIPE_SZ, SIZE) >= SIZE, "F_SETPIPE_SZ");
		check(write(ends[1], data, SIZE) == SIZE, "write");
		source = ends[0];
	} else if (is("recvmsg")) {
		check(write(far_end, data, PART) == PART, "write");
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	ssize_t part, n, sum = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	kind = argc == 2 ? argv[1] : "";
	for (int i = 0; i < SIZE; i++)
		data[i] = i * 31 + i / 4096;
	make_ends();
	check(pthread_create(&thread, NULL, other, NULL) == 0, "pthread_create");
	part = call();
	printf("RETURNED %zd\n", part);
	check(pthread_join(thread, NULL) == 0, "pthread_join");
	close(near_end);
	if (!is("recvmsg"))
		for (; (n = read(far_end, seen + sum, SIZE - sum)) > 0; sum += n)
			;
	else
		sum = PART;
	return part != sum || memcmp(data, seen, sum) != 0;
}
