/*
 * Waits for standard input with four epoll instances: level-triggered, edge-triggered, one-shot, and edge-triggered for another instance.
 * All of them must report the first bytes. Writes its PID to the file pid.
 */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>

static int instance(int fd, uint32_t events)
{
	int made = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {events, {.u64 = 5}};

	CHECK(made >= 0 && epoll_ctl(made, EPOLL_CTL_ADD, fd, &e) == 0);
	return made;
}

int main(void)
{
	int all[4], inner, pid = open("pid", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct pollfd input = {.fd = 0, .events = POLLIN};
	struct epoll_event e;

	all[0] = instance(0, EPOLLIN);
	all[1] = instance(0, EPOLLIN | EPOLLET);
	all[2] = instance(0, EPOLLIN | EPOLLONESHOT);
	inner = instance(0, EPOLLIN);
	all[3] = instance(inner, EPOLLIN | EPOLLET);
	CHECK(dprintf(pid, "%d\n", getpid()) > 0 && close(pid) == 0);
	CHECK(poll(&input, 1, 60000) == 1);
	for (int i = 0; i < 4; i++) {
		EQUAL(epoll_wait(all[i], &e, 1, 0), 1);
		EQUAL(e.data.u64, 5);
		CHECK(e.events & EPOLLIN);
	}
	say("all four\n");
	return 0;
}
