/*
 * Details of descriptors: I/O signals (O_ASYNC) to a thread, to another process and to a process group, numbers above the soft limit,
 * and EPOLLWAKEUP. The signals must come after the restart as before.
 */
#include "group.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { HIGH = 150, SOFT = 100 };

static int to_thread[2], to_child[2], to_group[2];
static volatile pid_t tid;

/* signalled waits for an I/O signal about a descriptor. */
static void signalled(int number, int fd)
{
	siginfo_t info;
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, number);
	EQUAL(sigtimedwait(&one, &info, &(struct timespec){60, 0}), number);
	if (number >= SIGRTMIN) {
		EQUAL(info.si_fd, fd);
		EQUAL(info.si_code, POLL_IN);
	}
}

static void owned(int fd, int type, pid_t pid, int number)
{
	struct f_owner_ex owner = {type, pid};

	CHECK(fcntl(fd, F_SETOWN_EX, &owner) == 0 && fcntl(fd, F_SETSIG, number) == 0);
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) == 0);
}

static void *thread(void *unused)
{
	(void)unused;
	tid = gettid();
	signalled(SIGRTMIN + 1, to_thread[0]);
	return 0;
}

static int waits(long unused)
{
	(void)unused;
	CHECK(setpgid(0, 0) == 0);
	mark("child");
	await_go();
	signalled(SIGRTMIN + 2, to_child[0]);
	signalled(SIGIO, 0);
	return 0;
}

/* events are the events of the only target of an epoll instance, as /proc shows them. */
static unsigned events(int instance)
{
	char path[40], text[500], *at;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", instance);
	slurp(path, text, sizeof text);
	at = strstr(text, "events:");
	CHECK(at);
	return strtoul(at + 7, 0, 16);
}

int main(void)
{
	struct epoll_event wanted = {.events = EPOLLIN | EPOLLWAKEUP | EPOLLET};
	struct rlimit limit;
	struct f_owner_ex owner;
	unsigned before;
	pthread_t other;
	sigset_t all;
	pid_t pid;
	int instance;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, 0);
	CHECK(pipe2(to_thread, O_NONBLOCK) == 0 && pipe2(to_child, O_CLOEXEC) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, to_group) == 0);
	CHECK(pthread_create(&other, 0, thread, 0) == 0);
	while (!tid)
		pause_ms(1);
	pid = child(waits, 0);
	await_mark("child");
	owned(to_thread[0], F_OWNER_TID, tid, SIGRTMIN + 1);
	owned(to_child[0], F_OWNER_PID, pid, SIGRTMIN + 2);
	owned(to_group[0], F_OWNER_PGRP, pid, 0);
	instance = epoll_create1(EPOLL_CLOEXEC);
	CHECK(epoll_ctl(instance, EPOLL_CTL_ADD, to_child[0], &wanted) == 0);
	before = events(instance);
	CHECK(dup2(to_thread[1], HIGH) == HIGH && getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = SOFT;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	ready();
	await_go();

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	EQUAL(limit.rlim_cur, SOFT);
	EQUAL(fcntl(HIGH, F_GETFD), 0);
	EQUAL(fcntl(to_child[1], F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(to_thread[0], F_GETFL), O_NONBLOCK | O_ASYNC);
	EQUAL(fcntl(to_group[0], F_GETFL), O_RDWR | O_ASYNC);
	EQUAL(fcntl(to_group[0], F_GETSIG), 0);
	CHECK(fcntl(to_group[0], F_GETOWN_EX, &owner) == 0);
	CHECK(owner.type == F_OWNER_PGRP && owner.pid == pid);
	EQUAL(events(instance), before);
	EQUAL(write(HIGH, "x", 1), 1);
	CHECK(pthread_join(other, 0) == 0);
	EQUAL(write(to_child[1], "x", 1), 1);
	EQUAL(write(to_group[1], "x", 1), 1);
	reap(pid, 0);
	pass();
}
