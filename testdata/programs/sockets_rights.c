/*
 * Descriptors in the queues of Unix sockets (SCM_RIGHTS): of every kind, with and without another descriptor of the same description,
 * at their place in a stream, in packets and datagrams, sockets within sockets, sockets in their own queue, and from and to another
 * process.
 */
#include "group.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>

enum { MOST = 253, DEPTH = 40 };

static void give(int to, const char *text, const int *fds, int n)
{
	char control[CMSG_SPACE(MOST * sizeof(int))] = {0};
	struct iovec data = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (n) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	EQUAL(sendmsg(to, &message, 0), strlen(text));
}

/* move sends descriptors and closes them. */
static void move(int to, const char *text, const int *fds, int n)
{
	give(to, text, fds, n);
	for (int i = 0; i < n; i++)
		CHECK(close(fds[i]) == 0);
}

/* take reads at most size bytes, which must be text, with exactly n descriptors. */
static void take(int from, size_t size, const char *text, int *fds, int n)
{
	char control[CMSG_SPACE(MOST * sizeof(int))], bytes[100];
	struct iovec data = {bytes, size};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c;
	ssize_t length = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	EQUAL(length, strlen(text));
	CHECK(memcmp(bytes, text, length) == 0);
	CHECK(!(message.msg_flags & MSG_CTRUNC));
	c = CMSG_FIRSTHDR(&message);
	if (!n) {
		CHECK(!c);
		return;
	}
	CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
	EQUAL(c->cmsg_len, CMSG_LEN(n * sizeof(int)));
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
}

static void pair(int type, int ends[2]) { CHECK(socketpair(AF_UNIX, type, 0, ends) == 0); }

static void empty(int fd)
{
	char byte;

	CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static void reads(int fd, const char *text)
{
	char got[100];
	ssize_t n = read(fd, got, sizeof got);

	EQUAL(n, strlen(text));
	CHECK(memcmp(got, text, n) == 0);
	CHECK(close(fd) == 0);
}

/* A terminal writes a newline apart from what is before it, so the text may arrive at the master in two parts. */
static void reads_output(int master, const char *text)
{
	char got[64];
	size_t length = 0;

	while (length < strlen(text)) {
		int n = read(master, got + length, sizeof got - length);
		CHECK(n > 0);
		length += n;
	}
	CHECK(length == strlen(text) && !memcmp(got, text, length));
}

static int file(const char *name, int flags, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | flags, 0600);

	CHECK(fd >= 0);
	EQUAL(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

/* Descriptors at a certain byte of a stream: a read of the bytes before gets no descriptors, and a read that gets them ends with them. */
static int place[2], place_file;

static void set_place(void)
{
	pair(SOCK_STREAM, place);
	place_file = file("place", 0, "0123456789");
	give(place[0], "first", 0, 0);
	give(place[0], "with", &place_file, 1);
	give(place[0], "after", 0, 0);
	give(place[0], "again", (int[]){place_file, place[0], 1}, 3);
}

static void check_place(void)
{
	int fds[3];

	take(place[1], 3, "fir", 0, 0);
	take(place[1], 50, "stwith", fds, 1);
	EQUAL(lseek(fds[0], 3, SEEK_SET), 3);
	EQUAL(lseek(place_file, 0, SEEK_CUR), 3); /* both descriptors have one description */
	take(place[1], 50, "afteragain", fds, 3);
	EQUAL(lseek(fds[0], 0, SEEK_CUR), 3);
	give(fds[1], "x", 0, 0);
	take(place[1], 50, "x", 0, 0);
	empty(place[1]);
}

/* Kinds of descriptions that only the queue has. */
static int kinds[2];
static const char *const where = "kinds";

static void set_kinds(void)
{
	struct itimerspec later = {.it_value = {1000, 0}};
	struct epoll_event event = {EPOLLIN, {.u64 = 77}};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fds[16], pipes[2], sockets[2], n = 0;
	uint64_t five = 5;
	sigset_t set;

	pair(SOCK_SEQPACKET, kinds);
	CHECK(pipe(pipes) == 0);
	EQUAL(write(pipes[1], "in a pipe", 9), 9);
	fds[n++] = pipes[0];
	fds[n++] = pipes[1];
	fds[n++] = file("named", 0, "content");
	fds[n++] = file("deleted", 0, "deleted content");
	CHECK(unlink("deleted") == 0);
	fds[n++] = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EQUAL(write(fds[n - 1], "sealed", 6), 6);
	CHECK(fcntl(fds[n - 1], F_ADD_SEALS, F_SEAL_WRITE) == 0);
	fds[n++] = eventfd(42, EFD_NONBLOCK);
	fds[n++] = timerfd_create(CLOCK_MONOTONIC, 0);
	CHECK(timerfd_settime(fds[n - 1], 0, &later, 0) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	fds[n++] = signalfd(-1, &set, SFD_NONBLOCK);
	fds[n++] = open(".", O_RDONLY | O_DIRECTORY);
	fds[n++] = open("named", O_PATH);
	fds[n++] = open("/dev/null", O_RDWR);
	fds[n++] = epoll_create1(0);
	fds[n++] = eventfd(0, EFD_NONBLOCK);
	CHECK(epoll_ctl(fds[n - 2], EPOLL_CTL_ADD, fds[n - 1], &event) == 0);
	EQUAL(write(fds[n - 1], &five, 8), 8);
	fds[n] = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(a.sun_path, sizeof a.sun_path, "#crak-%s-%d", where, getpid());
	a.sun_path[0] = 0;
	CHECK(bind(fds[n], (void *)&a, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a.sun_path + 1)) == 0);
	CHECK(listen(fds[n++], 5) == 0);
	pair(SOCK_STREAM, sockets);
	give(sockets[0], "in a socket", 0, 0);
	fds[n++] = sockets[0];
	fds[n++] = sockets[1];
	EQUAL(n, 16);
	give(kinds[0], "nothing", 0, 0);
	move(kinds[0], "all", fds, n);
	give(kinds[0], "", 0, 0);
	give(kinds[0], "last", 0, 0);
}

static void check_kinds(void)
{
	struct itimerspec left;
	struct epoll_event event;
	struct signalfd_siginfo got;
	struct sockaddr_un a;
	struct stat st;
	socklen_t length = sizeof a;
	int fds[16], client;
	uint64_t value;
	char text[100];

	take(kinds[1], 50, "nothing", 0, 0);
	take(kinds[1], 50, "all", fds, 16);
	EQUAL(write(fds[1], "!", 1), 1);
	reads(fds[0], "in a pipe!");
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	CHECK(write(fds[1], "!", 1) == -1 && errno == EPIPE); /* nobody else has the end that was closed */
	EQUAL(lseek(fds[2], 0, SEEK_CUR), 7);
	EQUAL(pread(fds[2], text, 100, 0), 7);
	CHECK(fstat(fds[3], &st) == 0);
	EQUAL(st.st_nlink, 0);
	EQUAL(pread(fds[3], text, 100, 0), 15);
	CHECK(memcmp(text, "deleted content", 15) == 0);
	EQUAL(pread(fds[4], text, 100, 0), 6);
	EQUAL(fcntl(fds[4], F_GET_SEALS), F_SEAL_WRITE);
	EQUAL(read(fds[5], &value, 8), 8);
	EQUAL(value, 42);
	CHECK(timerfd_gettime(fds[6], &left) == 0);
	CHECK(left.it_value.tv_sec > 0 && left.it_value.tv_sec <= 1000);
	CHECK(raise(SIGUSR1) == 0);
	EQUAL(read(fds[7], &got, sizeof got), sizeof got);
	EQUAL(got.ssi_signo, SIGUSR1);
	CHECK(faccessat(fds[8], "named", R_OK, 0) == 0);
	EQUAL(fcntl(fds[9], F_GETFL) & O_PATH, O_PATH);
	EQUAL(write(fds[10], "x", 1), 1);
	EQUAL(epoll_wait(fds[11], &event, 1, 0), 1);
	EQUAL(event.data.u64, 77);
	EQUAL(read(fds[12], &value, 8), 8);
	EQUAL(value, 5);
	EQUAL(epoll_wait(fds[11], &event, 1, 0), 0);
	CHECK(getsockname(fds[13], (void *)&a, &length) == 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(client, (void *)&a, length) == 0);
	CHECK(close(accept(fds[13], 0, 0)) == 0);
	take(fds[15], 50, "in a socket", 0, 0);
	CHECK(close(fds[14]) == 0);
	EQUAL(recv(fds[15], text, 1, 0), 0);
	take(kinds[1], 50, "", 0, 0);
	take(kinds[1], 50, "last", 0, 0);
	empty(kinds[1]);
}

/* A socket in the queue of a socket, and so on; a pipe in the last one. */
static int outer;

static void set_nested(void)
{
	int ends[2], inside;

	CHECK(pipe(ends) == 0);
	EQUAL(write(ends[1], "innermost", 9), 9);
	CHECK(close(ends[1]) == 0);
	inside = ends[0];
	for (int i = 0; i < DEPTH; i++) {
		pair(i % 3 == 0 ? SOCK_STREAM : i % 3 == 1 ? SOCK_DGRAM : SOCK_SEQPACKET, ends);
		move(ends[0], "deeper", &inside, 1);
		CHECK(close(ends[0]) == 0);
		inside = ends[1];
	}
	outer = inside;
}

static void check_nested(void)
{
	int next;

	for (int i = 0; i < DEPTH; i++) {
		take(outer, 50, "deeper", &next, 1);
		CHECK(close(outer) == 0);
		outer = next;
	}
	reads(outer, "innermost");
}

/* Sockets in their own queue, and two that are in each other's. */
static int own[2], ring;

static void set_rings(void)
{
	int one[2], other[2];

	pair(SOCK_DGRAM, own);
	give(own[1], "self", (int[]){own[0], own[1]}, 2);
	pair(SOCK_STREAM, one);
	pair(SOCK_STREAM, other);
	give(one[0], "other", &other[1], 1);
	give(other[0], "one", &one[1], 1);
	CHECK(close(one[0]) == 0 && close(other[0]) == 0 && close(other[1]) == 0);
	ring = one[1];
}

static void check_rings(void)
{
	int fds[2], other, one;

	take(own[0], 50, "self", fds, 2);
	give(fds[1], "hello", 0, 0);
	take(own[0], 50, "hello", 0, 0);
	take(ring, 50, "other", &other, 1);
	take(other, 50, "one", &one, 1);
	CHECK(close(other) == 0);
	EQUAL(recv(one, fds, 1, 0), 0);
	EQUAL(fcntl(one, F_SETFL, O_RDWR | O_NONBLOCK), 0);
	CHECK(fcntl(ring, F_GETFL) & O_NONBLOCK); /* both descriptors have one description */
}

/* Many descriptors in one message, of two descriptions. */
static int many[2];

static void set_many(void)
{
	int fds[MOST], ends[2];

	pair(SOCK_DGRAM, many);
	CHECK(pipe(ends) == 0);
	for (int i = 0; i < MOST; i++)
		fds[i] = ends[i % 2];
	give(many[0], "many", fds, MOST);
	CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void check_many(void)
{
	int fds[MOST];

	take(many[1], 50, "many", fds, MOST);
	EQUAL(write(fds[MOST - 2], "through", 7), 7);
	reads(fds[MOST - 1], "through");
}

/* A lock of flock(2) that a description in a queue holds. */
static int locked[2];

static void set_locked(void)
{
	int fd = file("lock", 0, "");

	pair(SOCK_STREAM, locked);
	CHECK(flock(fd, LOCK_EX) == 0);
	move(locked[0], "lock", &fd, 1);
}

static void check_locked(void)
{
	int fd, again = open("lock", O_RDWR);

	CHECK(flock(again, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
	take(locked[1], 50, "lock", &fd, 1);
	CHECK(close(fd) == 0);
	CHECK(flock(again, LOCK_EX | LOCK_NB) == 0);
}

/* Another process has the other end of what is in the queue, and of the socket. */
static int between[2], back[2];

static int other_side(long unused)
{
	int fd;

	(void)unused;
	CHECK(close(back[0]) == 0 && close(between[0]) == 0);
	await_go();
	take(between[1], 50, "to the child", &fd, 1);
	EQUAL(write(fd, "from the child", 14), 14);
	return 0;
}

static pid_t set_between(void)
{
	pid_t pid;

	pair(SOCK_STREAM, between);
	CHECK(pipe(back) == 0);
	move(between[0], "to the child", &back[1], 1);
	pid = child(other_side, 0);
	CHECK(close(between[1]) == 0);
	return pid;
}

static void check_between(pid_t pid)
{
	reap(pid, 0);
	reads(back[0], "from the child");
}

/* One end is in the queue, and this process has the other one. */
static int ends[2], tcp_end, stream_end, packet_end, master_end, slave_end, watching, watched;

static void set_ends(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct epoll_event event = {EPOLLIN, {.u64 = 5}};
	socklen_t length = sizeof a;
	int fds[6], two[2], listening = socket(AF_INET, SOCK_STREAM, 0);
	struct termios t;

	CHECK(bind(listening, (void *)&a, length) == 0);
	CHECK(listen(listening, 5) == 0);
	CHECK(getsockname(listening, (void *)&a, &length) == 0);
	tcp_end = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(tcp_end, (void *)&a, length) == 0);
	fds[0] = accept(listening, 0, 0);
	CHECK(close(listening) == 0);
	pair(SOCK_STREAM, two);
	stream_end = two[0];
	fds[1] = two[1];
	pair(SOCK_SEQPACKET, two);
	packet_end = two[0];
	fds[2] = two[1];
	master_end = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(grantpt(master_end) == 0 && unlockpt(master_end) == 0);
	fds[3] = open(ptsname(master_end), O_RDWR | O_NOCTTY);
	fds[4] = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(grantpt(fds[4]) == 0 && unlockpt(fds[4]) == 0);
	slave_end = open(ptsname(fds[4]), O_RDWR | O_NOCTTY);
	CHECK(tcgetattr(slave_end, &t) == 0);
	cfmakeraw(&t);
	CHECK(tcsetattr(slave_end, TCSANOW, &t) == 0);
	CHECK(pipe(two) == 0);
	watching = epoll_create1(0);
	CHECK(epoll_ctl(watching, EPOLL_CTL_ADD, two[0], &event) == 0);
	watched = two[1];
	fds[5] = two[0];
	for (int i = 0; i < 3; i++)
		give(fds[i], "from the queue", 0, 0);
	pair(SOCK_STREAM, ends);
	move(ends[0], "ends", fds, 6);
}

static void check_ends(void)
{
	struct epoll_event event;
	char text[10];
	int fds[6];

	take(ends[1], 50, "ends", fds, 6);
	reads(tcp_end, "from the queue");
	reads(stream_end, "from the queue");
	reads(packet_end, "from the queue");
	EQUAL(write(fds[3], "hi\n", 3), 3);
	reads_output(master_end, "hi\r\n");
	EQUAL(write(slave_end, "hi\n", 3), 3);
	EQUAL(read(fds[4], text, sizeof text), 3);
	EQUAL(epoll_wait(watching, &event, 1, 0), 0);
	EQUAL(write(watched, "x", 1), 1);
	EQUAL(epoll_wait(watching, &event, 1, 0), 1);
	EQUAL(event.data.u64, 5);
}

/* What only a member can open again, and an inotify instance: in a stream whose sender has closed it, in a socket within a socket. */
static int by_members, kept_pidfd;
static pid_t watched_child;

static int until_go(long unused)
{
	(void)unused;
	await_go();
	return 3;
}

static int pidfd_of(pid_t pid) { return syscall(SYS_pidfd_open, pid, 0); }

static void set_members(void)
{
	int fds[7], inner[2], sockets[2];
	char path[40];
	pid_t gone = fork();

	if (gone == 0)
		_exit(0);
	fds[0] = pidfd_of(gone);
	reap(gone, 0);
	watched_child = child(until_go, 0);
	fds[1] = pidfd_of(watched_child);
	fds[2] = pidfd_of(getpid());
	kept_pidfd = dup(fds[1]);
	fds[3] = open("/proc/self/status", O_RDONLY);
	snprintf(path, sizeof path, "/proc/%d/stat", watched_child);
	fds[4] = open(path, O_RDONLY);
	CHECK(mkdir("watched", 0700) == 0 || errno == EEXIST);
	CHECK(open("watched", O_RDONLY | O_DIRECTORY) >= 0); /* CRAK must find the path while the program is frozen */
	fds[5] = inotify_init1(IN_NONBLOCK);
	EQUAL(inotify_add_watch(fds[5], "watched", IN_CREATE), 1);
	pair(SOCK_DGRAM, inner);
	give(inner[0], "before", 0, 0);
	move(inner[0], "pidfd", (int[]){pidfd_of(watched_child)}, 1);
	give(inner[0], "after", 0, 0);
	CHECK(close(inner[0]) == 0);
	fds[6] = inner[1];
	pair(SOCK_STREAM, sockets);
	give(sockets[0], "first", 0, 0);
	move(sockets[0], "members", fds, 7);
	give(sockets[0], "last", 0, 0);
	CHECK(close(sockets[0]) == 0);
	by_members = sockets[1];
}

static void ended(int fd, int want)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	EQUAL(poll(&p, 1, 0), want);
}

static void has_text(int fd, pid_t pid)
{
	char text[4096], want[20];
	ssize_t n = read(fd, text, sizeof text - 1);

	CHECK(n > 0);
	text[n] = 0;
	snprintf(want, sizeof want, "%d", pid);
	CHECK(strstr(text, want));
	CHECK(close(fd) == 0);
}

static void check_members(void)
{
	struct inotify_event event[10];
	int fds[7], one;

	take(by_members, 50, "firstmembers", fds, 7);
	take(by_members, 50, "last", 0, 0);
	EQUAL(recv(by_members, &one, 1, MSG_DONTWAIT), 0);
	ended(fds[0], 1);
	CHECK(syscall(SYS_pidfd_send_signal, fds[2], 0, 0, 0) == 0);
	has_text(fds[3], getpid());
	has_text(fds[4], watched_child);
	take(fds[6], 50, "before", 0, 0);
	take(fds[6], 50, "pidfd", &one, 1);
	take(fds[6], 50, "after", 0, 0);
	CHECK(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
	CHECK(fcntl(kept_pidfd, F_GETFL) & O_NONBLOCK); /* both descriptors have one description */
	CHECK(!(fcntl(one, F_GETFL) & O_NONBLOCK));
	reap(watched_child, 3);
	ended(fds[1], 1);
	ended(one, 1);
	ended(fds[2], 0);
	CHECK(read(fds[5], event, sizeof event) == -1 && errno == EAGAIN);
	CHECK(close(open("watched/new", O_WRONLY | O_CREAT, 0600)) == 0);
	CHECK(read(fds[5], event, sizeof event) > 0);
	EQUAL(event[0].wd, 1);
	CHECK(unlink("watched/new") == 0);
}

int main(void)
{
	pid_t pid = set_between();

	set_place();
	set_kinds();
	set_nested();
	set_rings();
	set_many();
	set_locked();
	set_ends();
	set_members();
	ready();
	await_go();
	check_place();
	check_kinds();
	check_nested();
	check_rings();
	check_many();
	check_locked();
	check_ends();
	check_members();
	check_between(pid);
	pass();
}
