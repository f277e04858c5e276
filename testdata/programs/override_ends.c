/*
 * What a program sees when --fd has left out descriptors, or has put /dev/null in their places. The argument tells which: the writing
 * ends of a pipe and of a pair of sockets, the reading ends, null, or others: the epoll instance, the eventfd, the inotify instance, and
 * a file with a lock.
 */
#include "check.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void at(int fd, int number)
{
	CHECK(dup2(fd, number) == number && close(fd) == 0);
}

int main(int count, char **a)
{
	const char *what = count > 1 ? a[1] : "";
	int p[2], s[2];
	char text[100];
	struct epoll_event e = {EPOLLIN, {.u64 = 1}}, got[4];

	signal(SIGPIPE, SIG_IGN);
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	EQUAL(write(p[1], "a", 1), 1);
	EQUAL(write(s[1], "b", 1), 1);
	at(p[0], 60);
	at(p[1], 61);
	at(s[0], 62);
	at(s[1], 63);
	at(epoll_create1(0), 64);
	CHECK(epoll_ctl(64, EPOLL_CTL_ADD, 60, &e) == 0);
	e.data.u64 = 2;
	CHECK(epoll_ctl(64, EPOLL_CTL_ADD, 62, &e) == 0);
	e.data.u64 = 3;
	at(eventfd(1, 0), 65);
	CHECK(epoll_ctl(64, EPOLL_CTL_ADD, 65, &e) == 0);
	int f = open("locked", O_RDWR | O_CREAT, 0600);
	CHECK(flock(f, LOCK_EX) == 0);
	at(f, 67);
	CHECK(mkdir("watched", 0700) == 0);
	at(inotify_init1(IN_NONBLOCK), 66);
	CHECK(inotify_add_watch(66, "watched", IN_CREATE) == 1);
	ready();
	await_go();
	if (!strcmp(what, "writers")) {
		EQUAL(read(60, text, 9), 1);
		EQUAL(read(60, text, 9), 0);
		EQUAL(read(62, text, 9), 1);
		EQUAL(read(62, text, 9), 0);
		EQUAL(write(62, "x", 1), -1);
		EQUAL(errno, EPIPE);
		EQUAL(fcntl(61, F_GETFD), -1);
		EQUAL(epoll_wait(64, got, 4, 0), 3);
	} else if (!strcmp(what, "readers")) {
		EQUAL(write(61, "x", 1), -1);
		EQUAL(errno, EPIPE);
		EQUAL(write(63, "x", 1), -1);
		CHECK(errno == EPIPE || errno == ECONNRESET);
		EQUAL(epoll_wait(64, got, 4, 0), 1);
		EQUAL(got[0].data.u64, 3);
	} else if (!strcmp(what, "null")) {
		EQUAL(read(60, text, 9), 1);
		EQUAL(read(60, text, 9), 0);
		EQUAL(write(61, "xyz", 3), 3);
		EQUAL(read(62, text, 9), 1);
		EQUAL(read(62, text, 9), 0);
		EQUAL(epoll_wait(64, got, 4, 0), 2);
		EQUAL(read(66, text, 9), 0);
	} else if (!strcmp(what, "others")) {
		EQUAL(fcntl(64, F_GETFD), -1);
		EQUAL(fcntl(65, F_GETFD), -1);
		EQUAL(fcntl(66, F_GETFD), -1);
		EQUAL(fcntl(67, F_GETFD), -1);
		EQUAL(read(60, text, 9), 1);
		EQUAL(write(61, "xyz", 3), 3);
		f = open("locked", O_RDWR);
		CHECK(flock(f, LOCK_EX | LOCK_NB) == 0);
	}
	pass();
}
