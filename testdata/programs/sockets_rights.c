/*
 * Descriptors in the queues of Unix sockets (SCM_RIGHTS): of every kind, with and without another descriptor of the same description,
 * at their place in a stream, in packets and datagrams, sockets within sockets, and sockets in their own queue.
 */
#include "rights.h"

#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

enum { DEPTH = 40 };

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

int main(void)
{
	set_place();
	set_kinds();
	set_nested();
	set_rings();
	set_many();
	set_locked();
	ready();
	await_go();
	check_place();
	check_kinds();
	check_nested();
	check_rings();
	check_many();
	check_locked();
	pass();
}
