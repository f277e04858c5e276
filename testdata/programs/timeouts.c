/*
 * Makes the named calls with a relative timeout, each in a thread of its own. Each thread checks the result and the arguments that
 * must not change. The program prints READY, for each call its name and the milliseconds that it has taken, and PASS.
 *
 *	timeouts MILLISECONDS CALL...
 */
#include "check.h"

#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static long milliseconds;
static int futex_word;

static struct timespec wait_time(void)
{
	return (struct timespec){ milliseconds / 1000, milliseconds % 1000 * 1000000 };
}

static void same(struct timespec t)
{
	struct timespec was = wait_time();

	CHECK(t.tv_sec == was.tv_sec && t.tv_nsec == was.tv_nsec);
}

static void is(long result, int error)
{
	EQUAL(result, error ? -1 : 0);
	if (error)
		EQUAL(errno, error);
}

static void do_nanosleep(void)
{
	struct timespec t = wait_time();

	is(nanosleep(&t, 0), 0);
	same(t);
}

static void do_nanosleep_rest(void)
{
	struct timespec t = wait_time(), rest = { 77, 0 };

	is(nanosleep(&t, &rest), 0);
	same(t);
}

static void do_nanosleep_same(void)
{
	struct timespec t = wait_time();

	is(nanosleep(&t, &t), 0);
}

static void do_clock_nanosleep(void)
{
	struct timespec t = wait_time();

	is(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0), 0);
	same(t);
}

static void do_poll(void) { is(poll(0, 0, milliseconds), 0); }

static void do_ppoll(void)
{
	struct timespec t = wait_time();

	is(ppoll(0, 0, &t, 0), 0);
	same(t);
}

static const struct timespec constant = { 1, 500000000 }; /* the script passes 1500 as MILLISECONDS */

static void do_ppoll_constant(void)
{
	is(syscall(SYS_ppoll, 0, 0, &constant, 0, 8), 0);
}

static void do_select(void)
{
	struct timeval t = { milliseconds / 1000, milliseconds % 1000 * 1000 };

	is(select(0, 0, 0, 0, &t), 0);
	CHECK(t.tv_sec == 0 && t.tv_usec == 0);
}

static void do_raw_select(void)
{
	struct timeval t = { milliseconds / 1000, milliseconds % 1000 * 1000 };

	is(syscall(SYS_select, 0, 0, 0, 0, &t), 0);
	CHECK(t.tv_sec == 0 && t.tv_usec == 0);
}

static void do_pselect(void)
{
	struct timespec t = wait_time();

	is(pselect(0, 0, 0, 0, &t, 0), 0);
	same(t);
}

static void do_epoll_wait(void)
{
	struct epoll_event event;

	is(epoll_wait(epoll_create1(0), &event, 1, milliseconds), 0);
}

static void do_epoll_pwait2(void)
{
	struct epoll_event event;
	struct timespec t = wait_time();
	long result = syscall(SYS_epoll_pwait2, epoll_create1(0), &event, 1, &t, 0, 8);

	if (result < 0 && errno == ENOSYS)
		nanosleep(&t, 0);
	else
		is(result, 0);
	same(t);
}

static void do_futex(void)
{
	struct timespec t = wait_time();

	is(syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, &t, 0, 0), ETIMEDOUT);
	same(t);
}

static void do_sigtimedwait(void)
{
	struct timespec t = wait_time();
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMAX);
	is(sigtimedwait(&set, 0, &t), EAGAIN);
	same(t);
}

static void do_semtimedop(void)
{
	struct sembuf down = { 0, -1, 0 };
	struct timespec t = wait_time();
	int semaphores = semget(IPC_PRIVATE, 1, 0600);

	is(semtimedop(semaphores, &down, 1, &t), EAGAIN);
	same(t);
	semctl(semaphores, 0, IPC_RMID);
}

static void do_mq_timedreceive(void)
{
	char name[32], text[64];
	struct timespec t;
	struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = sizeof(text) };
	mqd_t empty;

	snprintf(name, sizeof(name), "/timeouts-%d", (int)getpid());
	empty = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
	CHECK(empty >= 0);
	mq_unlink(name);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += milliseconds % 1000 * 1000000;
	t.tv_sec += milliseconds / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	is(mq_timedreceive(empty, text, sizeof(text), 0, &t), ETIMEDOUT);
}

static void do_io_getevents(void)
{
	aio_context_t aio = 0;
	struct io_event event;
	struct timespec t = wait_time();

	is(syscall(SYS_io_setup, 1, &aio), 0);
	is(syscall(SYS_io_getevents, aio, 1, 1, &event, &t), 0);
	same(t);
}

static int silent_socket(void)
{
	struct timeval t = { milliseconds / 1000, milliseconds % 1000 * 1000 };
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
	return pair[0];
}

static void do_recv(void)
{
	char c;

	is(recv(silent_socket(), &c, 1, 0), EAGAIN);
}

static void do_read(void)
{
	char c;

	is(read(silent_socket(), &c, 1), EAGAIN);
}

/* The kernel checks the timeout of recvmmsg only after each datagram. */
static void do_recvmmsg(void)
{
	char c;
	struct iovec part = { &c, 1 };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } };
	struct timespec t = { 5, 0 };

	is(recvmmsg(silent_socket(), &message, 1, 0, &t), EAGAIN);
	CHECK(t.tv_sec <= 5);
}

static const struct call {
	const char *name;
	void (*make)(void);
} calls[] = {
	{ "nanosleep", do_nanosleep },
	{ "nanosleep_rest", do_nanosleep_rest },
	{ "nanosleep_same", do_nanosleep_same },
	{ "clock_nanosleep", do_clock_nanosleep },
	{ "poll", do_poll },
	{ "ppoll", do_ppoll },
	{ "ppoll_constant", do_ppoll_constant },
	{ "select", do_select },
	{ "raw_select", do_raw_select },
	{ "pselect", do_pselect },
	{ "epoll_wait", do_epoll_wait },
	{ "epoll_pwait2", do_epoll_pwait2 },
	{ "futex", do_futex },
	{ "sigtimedwait", do_sigtimedwait },
	{ "semtimedop", do_semtimedop },
	{ "mq_timedreceive", do_mq_timedreceive },
	{ "io_getevents", do_io_getevents },
	{ "recv", do_recv },
	{ "read", do_read },
	{ "recvmmsg", do_recvmmsg },
};

static long now(void)
{
	struct timespec t;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *run(void *which)
{
	const struct call *call = which;
	long begun = now();
	char line[64];

	call->make();
	snprintf(line, sizeof(line), "%s %ld\n", call->name, now() - begun);
	say(line);
	return NULL;
}

static const struct call *named(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, name) == 0)
			return &calls[i];
	fail("no call %s", name);
}

int main(int argc, char **argv)
{
	pthread_t threads[32];

	CHECK(argc >= 3 && argc < 32);
	milliseconds = atol(argv[1]);
	ready();
	if (argc == 3)
		run((void *)named(argv[2]));
	for (int i = 2; argc > 3 && i < argc; i++)
		CHECK(pthread_create(&threads[i], NULL, run, (void *)named(argv[i])) == 0);
	for (int i = 2; argc > 3 && i < argc; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	pass();
}
