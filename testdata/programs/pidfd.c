/*
 * pidfds of the process itself, of a child, a zombie, a thread, the parent and a sibling, and of processes that have ended and for which
 * their parent has waited; a pidfd that two processes share; pidfds in poll, epoll and waitid.
 */
#include "group.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { THREAD = O_EXCL }; /* PIDFD_THREAD, Linux 6.9 */

static int runs, watched, waited, thread_fd = -1;
static volatile pid_t tid;

static int pidfd(pid_t pid, int flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

static int events(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static int send_signal(int fd, int signal)
{
	return syscall(SYS_pidfd_send_signal, fd, signal, 0, 0);
}

/* collect waits for a child by its pidfd. */
static int collect(int fd)
{
	siginfo_t info;

	CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == 0);
	return info.si_status;
}

/* status_of is the wait status of a process that was waited for (PIDFD_GET_INFO, Linux 6.15), or -1. */
static int status_of(int fd)
{
	struct {
		uint64_t mask, cgroup;
		int32_t numbers[11], status;
	} info = {.mask = 8};

	if (ioctl(fd, _IOWR(0xFF, 11, info), &info) < 0 || !(info.mask & 8))
		return -1;
	return info.status;
}

static int exits(long code)
{
	await_go();
	pause_ms(50); /* so that the others are in their calls again */
	return code;
}

static int ends(long code)
{
	return code;
}

static int killed(long unused)
{
	raise(SIGKILL);
	return unused;
}

/* gone returns a pidfd of a child that has ended. */
static int gone(int (*f)(long), long arg, int flags)
{
	pid_t pid = child(f, arg);
	int fd = pidfd(pid, flags), status;

	CHECK(fd >= 0);
	EQUAL(waitpid(pid, &status, 0), pid);
	return fd;
}

static void check_gone(int fd, int was)
{
	siginfo_t info;

	CHECK(events(fd) & POLLIN);
	EQUAL(send_signal(fd, 0), -1);
	EQUAL(errno, ESRCH);
	EQUAL(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG), -1);
	EQUAL(errno, ECHILD);
	EQUAL(status_of(fd), was);
}

static void *polls(void *unused)
{
	struct pollfd p = {watched, POLLIN, 0};

	EQUAL(poll(&p, 1, -1), 1);
	EQUAL(p.revents & POLLIN, POLLIN);
	return unused;
}

static void *waits(void *unused)
{
	EQUAL(collect(waited), 33);
	return unused;
}

static void *is_named(void *unused)
{
	tid = gettid();
	await_go();
	pause_ms(50);
	return unused;
}

/* A child with a pidfd of its parent and of a sibling. It shares another pidfd with its parent. */
static int relative(long shared_fd)
{
	int parent = pidfd(getppid(), O_NONBLOCK), brother = pidfd(runs, 0), own = pidfd(getpid(), 0);

	CHECK(parent >= 0 && brother >= 0 && own >= 0);
	mark("relative");
	await_go();
	EQUAL(send_signal(parent, 0), 0);
	EQUAL(send_signal(own, 0), 0);
	EQUAL(fcntl(parent, F_GETFL) & (O_NONBLOCK | THREAD), O_NONBLOCK);
	EQUAL(events(parent), 0);
	CHECK(fcntl(shared_fd, F_SETFL, O_NONBLOCK) == 0);
	mark("set");
	EQUAL(poll(&(struct pollfd){brother, POLLIN, 0}, 1, -1), 1);
	return 0;
}

int main(void)
{
	pid_t zombie, other;
	int self = pidfd(getpid(), O_NONBLOCK), dead, dead_again, shot, of_zombie, common, set, inner;
	int was_dead, was_shot;
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 5};
	pthread_t threads[3];

	CHECK(self >= 0);
	runs = child(exits, 31);
	common = pidfd(runs, 0);
	dead = gone(ends, 9, 0);
	dead_again = dup(dead);
	shot = gone(killed, 0, 0);
	zombie = child(ends, 7);
	of_zombie = pidfd(zombie, 0);
	await_end(zombie);
	watched = pidfd(child(exits, 32), 0);
	waited = pidfd(child(exits, 33), 0);
	CHECK(common >= 0 && of_zombie >= 0 && watched >= 0 && waited >= 0);
	other = child(relative, common);
	await_mark("relative");
	CHECK(pthread_create(&threads[0], 0, polls, 0) == 0);
	CHECK(pthread_create(&threads[1], 0, waits, 0) == 0);
	CHECK(pthread_create(&threads[2], 0, is_named, 0) == 0);
	while (!tid)
		pause_ms(1);
	thread_fd = pidfd(tid, THREAD | O_NONBLOCK); /* EINVAL before Linux 6.9 */
	set = epoll_create1(0);
	inner = epoll_create1(0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, watched, &event) == 0);
	event.data.u64 = 6;
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, of_zombie, &event) == 0);
	EQUAL(epoll_wait(set, &event, 1, 0), 1);
	EQUAL(event.data.u64, 6);
	EQUAL(epoll_wait(set, &event, 1, 0), 0);
	event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 7};
	CHECK(epoll_ctl(inner, EPOLL_CTL_ADD, dead, &event) == 0);
	EQUAL(epoll_wait(inner, &event, 1, 0), 1);
	was_dead = status_of(dead);
	was_shot = status_of(shot);
	CHECK(was_dead == -1 || was_dead == 9 << 8);
	ready();
	await_go();
	EQUAL(send_signal(self, 0), 0);
	EQUAL(fcntl(self, F_GETFL) & (O_NONBLOCK | THREAD), O_NONBLOCK);
	EQUAL(events(self), 0);
	check_gone(dead, was_dead);
	check_gone(dead_again, was_dead);
	check_gone(shot, was_shot);
	CHECK(events(of_zombie) & POLLIN);
	EQUAL(epoll_wait(inner, &event, 1, 0), 0);
	if (thread_fd >= 0) {
		EQUAL(fcntl(thread_fd, F_GETFL) & (O_NONBLOCK | THREAD), O_NONBLOCK | THREAD);
		EQUAL(poll(&(struct pollfd){thread_fd, POLLIN, 0}, 1, -1), 1);
	}
	EQUAL(epoll_wait(set, &event, 1, -1), 1);
	EQUAL(event.data.u64, 5);
	EQUAL(epoll_wait(set, &event, 1, 0), 0);
	EQUAL(collect(of_zombie), 7);
	check_gone(of_zombie, status_of(of_zombie));
	await_mark("set");
	EQUAL(fcntl(common, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	reap(other, 0);
	EQUAL(collect(common), 31);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	EQUAL(collect(watched), 32);
	pass();
}
