/*
 * signalfds: the mask, flags, pending signals that are read after the restart in their order and with their values, a thread that is
 * blocked in read, and a signalfd that a child shares. The child reads its own signals from it.
 */
#include "group.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>

static int all, alone;

static void expect(int fd, int signal, int value)
{
	struct signalfd_siginfo info;

	EQUAL(read(fd, &info, sizeof info), sizeof info);
	EQUAL(info.ssi_signo, signal);
	EQUAL(info.ssi_int, value);
}

static int readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0);
}

static void queue(int signal, int value)
{
	CHECK(sigqueue(getpid(), signal, (union sigval){.sival_int = value}) == 0);
}

static void *blocked(void *unused)
{
	expect(alone, SIGRTMIN + 5, 55);
	return unused;
}

static int shares(long unused)
{
	(void)unused;
	queue(SIGRTMIN + 1, 9);
	mark("queued");
	await_go();
	EQUAL(readable(all), 1);
	expect(all, SIGRTMIN + 1, 9);
	EQUAL(readable(all), 0);
	return 0;
}

int main(void)
{
	sigset_t set, one;
	pthread_t thread;
	pid_t other;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGRTMIN + 1);
	sigaddset(&set, SIGRTMIN + 2);
	sigemptyset(&one);
	sigaddset(&one, SIGRTMIN + 5);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, 0) == 0);
	CHECK(pthread_sigmask(SIG_BLOCK, &one, 0) == 0);
	all = signalfd(-1, &set, SFD_NONBLOCK);
	alone = signalfd(-1, &one, SFD_CLOEXEC);
	CHECK(all >= 0 && alone >= 0);
	other = child(shares, 0);
	await_mark("queued");
	queue(SIGRTMIN + 2, 1);
	queue(SIGRTMIN + 2, 2);
	queue(SIGHUP, 3);
	CHECK(pthread_create(&thread, 0, blocked, 0) == 0);
	ready();
	await_go();
	EQUAL(readable(all), 1);
	expect(all, SIGHUP, 3);
	expect(all, SIGRTMIN + 2, 1);
	expect(all, SIGRTMIN + 2, 2);
	EQUAL(readable(all), 0);
	reap(other, 0); /* it reads through the same description, whose mask changes now */
	EQUAL(signalfd(all, &one, 0), all);
	queue(SIGRTMIN + 5, 55);
	CHECK(pthread_join(thread, 0) == 0);
	pass();
}
