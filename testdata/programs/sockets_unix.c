/*
 * Unix sockets in one process: pairs of each type with content both ways, message boundaries, half-closed, closed by the peer with
 * and without unread data, options, names by path, relative path and abstract, a listening socket with connections that wait in
 * it, connections that were accepted from a listening socket that is open or closed, datagrams with their senders.
 */
#include "check.h"

#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

static socklen_t name(struct sockaddr_un *a, const char *text)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	strcpy(a->sun_path, text);
	if (text[0] == '@') { /* an abstract name that only this process uses */
		int n = snprintf(a->sun_path, sizeof a->sun_path, "@crak-%s-%d", text + 1, getpid());

		a->sun_path[0] = 0;
		return offsetof(struct sockaddr_un, sun_path) + n;
	}
	return offsetof(struct sockaddr_un, sun_path) + strlen(text) + 1;
}

static int bound(int type, const char *text)
{
	struct sockaddr_un a;
	socklen_t n = name(&a, text);
	int fd = socket(AF_UNIX, type, 0);

	CHECK(fd >= 0);
	CHECK(bind(fd, (void *)&a, n) == 0);
	return fd;
}

static int connect_to(int fd, const char *text)
{
	struct sockaddr_un a;
	socklen_t n = name(&a, text);

	CHECK(connect(fd, (void *)&a, n) == 0);
	return fd;
}

static void named(int fd, const char *own, const char *peer)
{
	struct sockaddr_un want, got;
	socklen_t n, length = sizeof got;

	memset(&got, 0, sizeof got);
	CHECK(getsockname(fd, (void *)&got, &length) == 0);
	if (own) {
		n = name(&want, own);
		EQUAL(length, n);
		CHECK(memcmp(&want, &got, n) == 0);
	} else {
		EQUAL(length, 2);
	}
	length = sizeof got;
	if (getpeername(fd, (void *)&got, &length)) {
		CHECK(errno == ENOTCONN && !peer);
		return;
	}
	if (peer) {
		n = name(&want, peer);
		EQUAL(length, n);
		CHECK(memcmp(&want, &got, n) == 0);
	} else {
		EQUAL(length, 2);
	}
}

static void put(int fd, const char *text)
{
	EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void get(int fd, const char *text)
{
	char got[200];
	ssize_t n = recv(fd, got, sizeof got, MSG_DONTWAIT);

	EQUAL(n, strlen(text));
	CHECK(memcmp(got, text, n) == 0);
}

static void empty(int fd)
{
	char byte;

	CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static void at_end(int fd)
{
	char byte;

	EQUAL(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

static int option(int fd, int number)
{
	int value;
	socklen_t length = sizeof value;

	CHECK(getsockopt(fd, SOL_SOCKET, number, &value, &length) == 0);
	return value;
}

static void set(int fd, int number, int value) { CHECK(setsockopt(fd, SOL_SOCKET, number, &value, sizeof value) == 0); }

/* A stream that is full both ways. */
static size_t stuff(int fd)
{
	size_t all = 0;
	ssize_t n;

	for (;;) {
		char bytes[1000];

		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (char)((all + i) * 7 + (all + i) / 251);
		n = send(fd, bytes, sizeof bytes, MSG_DONTWAIT);
		if (n < 0)
			break;
		all += n;
	}
	EQUAL(errno, EAGAIN);
	return all;
}

static void drain(int fd, size_t all)
{
	char bytes[1234];

	for (size_t at = 0; at < all;) {
		ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			EQUAL(bytes[i], (char)((at + i) * 7 + (at + i) / 251));
		at += n;
	}
	empty(fd);
}

int main(void)
{
	int stream[2], packets[2], datagrams[2], half[2], closed[2], reset[2], full[2], options[2], gone[2], half_read[2], urgent[2], inline_urgent[2], at_mark;
	int listening, waiting[2], served, client, orphan, orphan_client, abstract, abstract_client, abstract_served;
	int post, sender, log, relative, far, bare, name_of_its_own, removed;
	struct timeval t = {3, 500000};
	struct linger linger = {1, 7};
	struct stat before, after;
	socklen_t length = sizeof t;
	size_t all[2];
	char path[200], cwd[150], bytes[20];

	CHECK(getcwd(cwd, sizeof cwd));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagrams) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, half_read) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, closed) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, reset) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, full) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, options) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, gone) == 0);
	put(stream[0], "hello ");
	put(stream[0], "world");
	put(stream[1], "back");
	put(packets[0], "one");
	put(packets[0], "");
	put(packets[0], "three");
	put(packets[1], "x");
	for (int i = 0; i < 5; i++)
		put(datagrams[1], i % 2 ? "odd" : "even!");
	put(datagrams[1], "");
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, urgent) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, inline_urgent) == 0);
	put(urgent[0], "before");
	EQUAL(send(urgent[0], "!", 1, MSG_OOB), 1);
	put(urgent[0], "after");
	set(inline_urgent[1], SO_OOBINLINE, 1);
	EQUAL(send(inline_urgent[0], "!", 1, MSG_OOB), 1);
	put(inline_urgent[0], "after");
	put(half[0], "last words");
	CHECK(shutdown(half[0], SHUT_WR) == 0);
	CHECK(shutdown(half_read[0], SHUT_RD) == 0);
	put(closed[0], "testament");
	CHECK(close(closed[0]) == 0);
	put(reset[0], "answer");
	put(reset[1], "never read");
	CHECK(close(reset[0]) == 0);
	CHECK(close(gone[0]) == 0);
	set(full[0], SO_SNDBUF, 30000);
	all[0] = stuff(full[0]);
	all[1] = stuff(full[1]);

	set(options[0], SO_SNDBUF, 10000);
	set(options[0], SO_RCVBUF, 20000);
	set(options[0], SO_PASSCRED, 1);
	set(options[0], SO_KEEPALIVE, 1);
	set(options[0], SO_PEEK_OFF, 3);
	set(options[0], SO_RCVLOWAT, 9);
	CHECK(setsockopt(options[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
	CHECK(setsockopt(options[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);

	snprintf(path, sizeof path, "%.95s/absolute", cwd);
	listening = bound(SOCK_STREAM, "listening");
	CHECK(chmod("listening", 0640) == 0);
	CHECK(listen(listening, 5) == 0);
	client = connect_to(bound(SOCK_STREAM, "client"), "listening");
	served = accept4(listening, 0, 0, SOCK_NONBLOCK);
	CHECK(served >= 0);
	put(client, "request");
	for (int i = 0; i < 2; i++)
		waiting[i] = connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "listening");
	orphan = bound(SOCK_SEQPACKET, "orphan");
	CHECK(listen(orphan, 1) == 0);
	orphan_client = connect_to(socket(AF_UNIX, SOCK_SEQPACKET, 0), "orphan");
	int accepted = accept(orphan, 0, 0);
	CHECK(accepted >= 0);
	CHECK(dup2(accepted, orphan) == orphan && close(accepted) == 0); /* the listening socket is closed */
	CHECK(unlink("orphan") == 0);
	put(orphan, "of a server that has gone");
	abstract = bound(SOCK_STREAM, "@a");
	CHECK(listen(abstract, 5) == 0);
	abstract_client = connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "@a");
	abstract_served = accept(abstract, 0, 0);
	put(abstract_served, "abstract");

	post = bound(SOCK_DGRAM, "@post");
	sender = bound(SOCK_DGRAM, "@sender");
	connect_to(sender, "@post");
	put(sender, "from sender");
	bare = connect_to(socket(AF_UNIX, SOCK_DGRAM, 0), "@post");
	put(bare, "from nobody");
	put(sender, "again");
	int brief = bound(SOCK_DGRAM, "brief");
	connect_to(brief, "@post");
	put(brief, "from a closed one");
	CHECK(close(brief) == 0 && unlink("brief") == 0);
	log = bound(SOCK_DGRAM, "log");
	CHECK(mkdir("dir", 0700) == 0 || errno == EEXIST);
	CHECK(chdir("dir") == 0);
	relative = bound(SOCK_STREAM, "relative");
	CHECK(listen(relative, 3) == 0);
	CHECK(chdir("..") == 0);
	CHECK(open("dir", O_PATH | O_DIRECTORY) >= 0);
	far = bound(SOCK_STREAM, path);
	CHECK(listen(far, 3) == 0);
	removed = bound(SOCK_STREAM, "removed");
	CHECK(listen(removed, 3) == 0);
	CHECK(unlink("removed") == 0);
	name_of_its_own = socket(AF_UNIX, SOCK_DGRAM, 0);
	sa_family_t family = AF_UNIX;
	CHECK(bind(name_of_its_own, (void *)&family, sizeof family) == 0); /* autobind */
	struct sockaddr_un automatic, now;
	socklen_t automatic_length = sizeof automatic, now_length = sizeof now;
	CHECK(getsockname(name_of_its_own, (void *)&automatic, &automatic_length) == 0);
	CHECK(lstat("listening", &before) == 0);

	set(stream[0], SO_LOCK_FILTER, 1);

	ready();
	await_go();

	EQUAL(option(stream[0], SO_LOCK_FILTER), 1);
	EQUAL(option(stream[1], SO_LOCK_FILTER), 0);
	get(stream[1], "hello world");
	get(stream[0], "back");
	empty(stream[0]);
	empty(stream[1]);
	get(packets[1], "one");
	get(packets[1], "");
	get(packets[1], "three");
	get(packets[0], "x");
	empty(packets[0]);
	empty(packets[1]);
	EQUAL(fcntl(packets[0], F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(datagrams[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	for (int i = 0; i < 5; i++)
		get(datagrams[0], i % 2 ? "odd" : "even!");
	get(datagrams[0], "");
	empty(datagrams[0]);
	put(datagrams[0], "still joined");
	get(datagrams[1], "still joined");
	EQUAL(recv(urgent[1], bytes, sizeof bytes, 0), 6);
	EQUAL(ioctl(urgent[1], SIOCATMARK, &at_mark), 0);
	EQUAL(at_mark, 1);
	EQUAL(recv(urgent[1], bytes, 1, MSG_OOB), 1);
	EQUAL(bytes[0], '!');
	get(urgent[1], "after");
	EQUAL(ioctl(inline_urgent[1], SIOCATMARK, &at_mark), 0);
	EQUAL(at_mark, 1);
	get(inline_urgent[1], "!after");
	get(half[1], "last words");
	at_end(half[1]);
	put(half[1], "other way");
	get(half[0], "other way");
	CHECK(send(half[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	CHECK(send(half_read[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	at_end(half_read[0]);
	put(half_read[0], "ok");
	get(half_read[1], "ok");
	get(closed[1], "testament");
	at_end(closed[1]);
	CHECK(send(closed[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	get(reset[1], "answer");
	char byte;
	CHECK(recv(reset[1], &byte, 1, MSG_DONTWAIT) == -1 && errno == ECONNRESET);
	CHECK(send(gone[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == ECONNREFUSED);
	struct pollfd p = {.fd = full[0], .events = POLLIN | POLLOUT};
	EQUAL(poll(&p, 1, 0), 1);
	EQUAL(p.revents, POLLIN);
	drain(full[1], all[0]);
	drain(full[0], all[1]);
	EQUAL(option(full[0], SO_SNDBUF), 60000);

	EQUAL(option(options[0], SO_SNDBUF), 20000);
	EQUAL(option(options[0], SO_RCVBUF), 40000);
	EQUAL(option(options[0], SO_PASSCRED), 1);
	EQUAL(option(options[1], SO_PASSCRED), 0);
	EQUAL(option(options[0], SO_KEEPALIVE), 1);
	EQUAL(option(options[0], SO_PEEK_OFF), 3);
	EQUAL(option(options[0], SO_RCVLOWAT), 9);
	CHECK(getsockopt(options[0], SOL_SOCKET, SO_RCVTIMEO, &t, &length) == 0);
	EQUAL(t.tv_sec, 3);
	EQUAL(t.tv_usec, 500000);
	length = sizeof linger;
	CHECK(getsockopt(options[0], SOL_SOCKET, SO_LINGER, &linger, &length) == 0);
	EQUAL(linger.l_linger, 7);

	named(stream[0], 0, 0);
	named(listening, "listening", 0);
	named(client, "client", "listening");
	named(served, "listening", "client");
	get(served, "request");
	EQUAL(option(listening, SO_ACCEPTCONN), 1);
	CHECK(lstat("listening", &after) == 0);
	EQUAL(after.st_mode, before.st_mode);
	EQUAL(after.st_uid, before.st_uid);
	named(waiting[0], 0, "listening");
	for (int i = 0; i < 2; i++) {
		int in = accept(listening, 0, 0);

		CHECK(in >= 0);
		put(waiting[i], i ? "second" : "first");
		get(in, i ? "second" : "first");
	}
	named(orphan, "orphan", 0);
	named(orphan_client, 0, "orphan");
	get(orphan_client, "of a server that has gone");
	CHECK(access("orphan", F_OK) == -1);
	named(abstract_served, "@a", 0);
	named(abstract_client, 0, "@a");
	get(abstract_client, "abstract");
	connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "@a");
	CHECK(accept(abstract, 0, 0) >= 0);

	struct sockaddr_un from, want;
	socklen_t n = name(&want, "@sender");
	const char *mail[] = {"from sender", "from nobody", "again", "from a closed one"};
	for (int i = 0; i < 4; i++) {
		char text[100];

		if (i == 3)
			n = name(&want, "brief");
		length = sizeof from;
		EQUAL(recvfrom(post, text, sizeof text, MSG_DONTWAIT, (void *)&from, &length), strlen(mail[i]));
		CHECK(memcmp(text, mail[i], strlen(mail[i])) == 0);
		EQUAL(length, i == 1 ? 0 : n);
		CHECK(i == 1 || memcmp(&from, &want, n) == 0);
	}
	put(sender, "joined");
	put(bare, "joined too");
	get(post, "joined");
	get(post, "joined too");
	named(log, "log", 0);
	connect_to(bare, "log");
	put(bare, "line");
	get(log, "line");
	named(relative, "relative", 0);
	connect_to(socket(AF_UNIX, SOCK_STREAM, 0), "dir/relative");
	named(far, path, 0);
	connect_to(socket(AF_UNIX, SOCK_STREAM, 0), path);
	named(removed, "removed", 0);
	CHECK(access("removed", F_OK) == -1);
	CHECK(getsockname(name_of_its_own, (void *)&now, &now_length) == 0);
	EQUAL(now_length, automatic_length);
	CHECK(memcmp(&now, &automatic, now_length) == 0);
	pass();
}
