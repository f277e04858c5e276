/*
 * epoll instances: targets of several kinds with their data, level- and edge-triggered; one-shot targets that have been reported and
 * that have not; exclusive targets; an instance in another one; a target whose number is closed, or belongs to another file now; a
 * target that is registered twice; a thread and a child that sleep in epoll_wait; workers that share an instance; an instance
 * and a target that only different processes have open; busy-poll parameters.
 */
#include "group.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* struct epoll_params of linux/eventpoll.h, since Linux 6.9 */
struct busy_poll {
	uint32_t usecs;
	uint16_t budget;
	uint8_t prefer, pad;
};

#define SET_BUSY_POLL _IOW(0x8a, 1, struct busy_poll)
#define GET_BUSY_POLL _IOR(0x8a, 2, struct busy_poll)

static int sleeping, wake[2], common, work[2];

static void add(int instance, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = {events, {.u64 = data}};

	CHECK(epoll_ctl(instance, EPOLL_CTL_ADD, fd, &e) == 0);
}

static int wait_for(int instance, uint64_t *data, uint32_t *events)
{
	struct epoll_event e;
	int n = epoll_wait(instance, &e, 1, 0);

	CHECK(n >= 0);
	if (n) {
		*data = e.data.u64;
		*events = e.events;
	}
	return n;
}

/* expect gets one event and no more. */
static void expect(int instance, uint64_t data, uint32_t events)
{
	uint64_t have;
	uint32_t what;

	EQUAL(wait_for(instance, &have, &what), 1);
	EQUAL(have, data);
	EQUAL(what, events);
}

static void nothing(int instance)
{
	uint64_t data;
	uint32_t events;

	EQUAL(wait_for(instance, &data, &events), 0);
}

static void *sleeper(void *unused)
{
	struct epoll_event e;

	EQUAL(epoll_wait(sleeping, &e, 1, -1), 1);
	EQUAL(e.data.u64, 0x123456789abcdef0);
	return unused;
}

/*
 * The parent has an instance, and the child its target. The child has another instance, and the parent its target: each has closed
 * the other one.
 */
static int of_child[2], of_parent[2], at_parent, at_child;

static int holder(long unused)
{
	(void)unused;
	CHECK(close(of_child[1]) == 0 && close(at_parent) == 0 && close(of_parent[0]) == 0);
	mark("apart");
	await_mark("woken");
	nothing(at_child);
	EQUAL(write(of_parent[1], "x", 1), 1);
	expect(at_child, 17, EPOLLIN);
	return 0;
}

static int worker(long unused)
{
	struct epoll_event e;
	char byte;

	(void)unused;
	EQUAL(epoll_wait(common, &e, 1, -1), 1);
	EQUAL(e.data.u32, 7);
	EQUAL(read(work[0], &byte, 1), 1);
	return 33;
}

int main(void)
{
	int level, edge, fresh_edge, shot, fired, outer, inner, exclusive, closed, replaced, twice, stream, files, far;
	int pipes[8][2], pair[2], event, other, again;
	pthread_t thread;
	pid_t workers[2];
	uint64_t one = 1;

	for (int i = 0; i < 8; i++)
		CHECK(pipe2(pipes[i], O_NONBLOCK) == 0);
	CHECK(pipe(wake) == 0 && pipe(work) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	event = eventfd(0, EFD_NONBLOCK);

	level = epoll_create1(EPOLL_CLOEXEC); /* its target stays ready */
	add(level, pipes[0][0], EPOLLIN, 1);
	EQUAL(write(pipes[0][1], "x", 1), 1);
	edge = epoll_create1(0); /* an edge that has been reported */
	add(edge, pipes[1][0], EPOLLIN | EPOLLET, 2);
	add(edge, event, EPOLLIN | EPOLLET, 22);
	EQUAL(write(pipes[1][1], "x", 1), 1);
	expect(edge, 2, EPOLLIN);
	nothing(edge);
	fresh_edge = epoll_create1(0); /* an edge that has not been reported */
	add(fresh_edge, pipes[2][0], EPOLLIN | EPOLLET, 3);
	EQUAL(write(pipes[2][1], "x", 1), 1);
	shot = epoll_create1(0);
	add(shot, pipes[3][0], EPOLLIN | EPOLLONESHOT, 4);
	fired = epoll_create1(0);
	add(fired, pipes[0][0], EPOLLIN | EPOLLONESHOT, 5);
	expect(fired, 5, EPOLLIN);
	inner = epoll_create1(0);
	outer = epoll_create1(0);
	add(inner, pipes[4][0], EPOLLIN, 6);
	add(outer, inner, EPOLLIN, 7);
	exclusive = epoll_create1(0);
	add(exclusive, pipes[3][0], EPOLLIN | EPOLLEXCLUSIVE, 8);
	closed = epoll_create1(0); /* the number is closed, the description lives on in a duplicate */
	other = dup(pipes[5][0]);
	add(closed, pipes[5][0], EPOLLIN, 9);
	CHECK(close(pipes[5][0]) == 0);
	replaced = epoll_create1(0); /* another file has the number now */
	again = dup(pipes[6][0]);
	add(replaced, again, EPOLLIN, 10);
	CHECK(dup2(event, again) == again);
	add(replaced, again, EPOLLIN, 11); /* the same number once more */
	twice = epoll_create1(0); /* one description under two numbers */
	add(twice, pair[0], EPOLLIN | EPOLLRDHUP, 12);
	int more = dup(pair[0]);
	add(twice, more, EPOLLOUT, 13);
	stream = epoll_create1(0);
	add(stream, pair[1], EPOLLIN | EPOLLRDHUP | EPOLLET, 14);
	files = epoll_create1(0); /* empty */
	int polls = ioctl(files, SET_BUSY_POLL, &(struct busy_poll){50, 9, 1, 0}) == 0; /* older kernels do not have it */
	CHECK(polls || errno == ENOTTY || errno == EOPNOTSUPP);
	far = epoll_create1(0); /* the number is closed, and nothing else has it */
	CHECK(dup2(pipes[7][0], 200) == 200);
	add(far, 200, EPOLLIN, 15);
	CHECK(close(200) == 0);
	sleeping = epoll_create1(0);
	add(sleeping, wake[0], EPOLLIN, 0x123456789abcdef0);
	CHECK(pthread_create(&thread, 0, sleeper, 0) == 0);
	common = epoll_create1(0);
	add(common, work[0], EPOLLIN | EPOLLET, 7);
	for (int i = 0; i < 2; i++)
		workers[i] = child(worker, i);

	CHECK(pipe(of_child) == 0 && pipe(of_parent) == 0);
	at_parent = epoll_create1(0);
	at_child = epoll_create1(0);
	add(at_parent, of_child[0], EPOLLIN, 16);
	add(at_child, of_parent[0], EPOLLIN, 17);
	pid_t apart = child(holder, 0);
	CHECK(close(of_child[0]) == 0 && close(at_child) == 0 && close(of_parent[1]) == 0);
	await_mark("apart");

	ready();
	await_go();

	nothing(at_parent);
	EQUAL(write(of_child[1], "x", 1), 1);
	expect(at_parent, 16, EPOLLIN);
	mark("woken");
	reap(apart, 0);
	expect(level, 1, EPOLLIN);
	expect(level, 1, EPOLLIN);
	nothing(edge);
	struct busy_poll parameters = {0};
	if (polls) {
		CHECK(ioctl(files, GET_BUSY_POLL, &parameters) == 0);
		CHECK(parameters.usecs == 50 && parameters.budget == 9 && parameters.prefer == 1);
		CHECK(ioctl(edge, GET_BUSY_POLL, &parameters) == 0);
		CHECK(parameters.usecs == 0 && parameters.budget == 0 && parameters.prefer == 0);
	}
	EQUAL(write(pipes[1][1], "y", 1), 1);
	expect(edge, 2, EPOLLIN);
	expect(fresh_edge, 3, EPOLLIN);
	nothing(fresh_edge);
	nothing(shot);
	nothing(exclusive);
	EQUAL(write(pipes[3][1], "x", 1), 1);
	expect(shot, 4, EPOLLIN);
	nothing(shot);
	expect(exclusive, 8, EPOLLIN);
	nothing(fired);
	struct epoll_event e = {EPOLLIN | EPOLLONESHOT, {.u64 = 55}};
	CHECK(epoll_ctl(fired, EPOLL_CTL_MOD, pipes[0][0], &e) == 0);
	expect(fired, 55, EPOLLIN);
	nothing(outer);
	EQUAL(write(pipes[4][1], "x", 1), 1);
	expect(outer, 7, EPOLLIN);
	expect(inner, 6, EPOLLIN);
	nothing(closed);
	EQUAL(write(pipes[5][1], "x", 1), 1);
	expect(closed, 9, EPOLLIN);
	EQUAL(pipes[5][0], replaced); /* the new pipe has the number of the closed one */
	EQUAL(write(pipes[7][1], "x", 1), 1);
	expect(far, 15, EPOLLIN);
	CHECK(fcntl(200, F_GETFD) == -1);
	CHECK(fcntl(other, F_GETFD) == 0);
	nothing(replaced);
	EQUAL(write(pipes[6][1], "x", 1), 1);
	expect(replaced, 10, EPOLLIN);
	char byte;
	EQUAL(read(pipes[6][0], &byte, 1), 1);
	EQUAL(write(again, &one, sizeof one), sizeof one);
	expect(replaced, 11, EPOLLIN);
	expect(edge, 22, EPOLLIN);
	expect(twice, 13, EPOLLOUT);
	EQUAL(write(pair[1], "x", 1), 1);
	nothing(stream);
	EQUAL(write(pair[0], "x", 1), 1);
	expect(stream, 14, EPOLLIN);
	struct epoll_event both[3];
	EQUAL(epoll_wait(twice, both, 3, 0), 2);
	CHECK(epoll_ctl(twice, EPOLL_CTL_DEL, more, 0) == 0);
	CHECK(epoll_ctl(twice, EPOLL_CTL_DEL, pair[0], 0) == 0);
	CHECK(epoll_ctl(files, EPOLL_CTL_DEL, pair[0], 0) == -1 && errno == ENOENT);
	EQUAL(write(wake[1], "x", 1), 1);
	CHECK(pthread_join(thread, 0) == 0);
	for (int i = 0; i < 2; i++) {
		int status;

		EQUAL(write(work[1], "x", 1), 1);
		pid_t pid = waitpid(-1, &status, 0);
		CHECK(pid == workers[0] || pid == workers[1]);
		EQUAL(status, 33 << 8);
	}
	pass();
}
