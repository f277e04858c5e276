/*
 * Descriptors in the queues of Unix sockets (SCM_RIGHTS) that belong to something outside of the queue: another process sends or
 * receives them, or has the other end of what they are; or only a member can open them, such as pidfds and files of /proc.
 */
#include "rights.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <termios.h>

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

	set_ends();
	set_members();
	ready();
	await_go();
	check_ends();
	check_members();
	check_between(pid);
	pass();
}
