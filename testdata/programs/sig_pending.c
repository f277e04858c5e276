/* Signals that are pending for the process and for single threads, with their siginfo, in their order. */
#include "check.h"

#include <pthread.h>
#include <signal.h>

static sigset_t set;
static pthread_barrier_t started;

static void queue(pid_t tid, int sig, int code, int value)
{
	siginfo_t info = {.si_signo = sig, .si_code = code};

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = value;
	if (tid)
		CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, sig, &info) == 0);
	else
		CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), sig, &info) == 0);
}

/* next takes the next pending signal with this number. */
static void next(int sig, int code, int value)
{
	struct timespec none = {0, 0};
	siginfo_t info;
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, sig);
	memset(&info, 0, sizeof info);
	if (sigtimedwait(&one, &info, &none) != sig)
		fail("signal %d with value %d is not pending", sig, value);
	EQUAL(info.si_code, code);
	EQUAL(info.si_pid, getpid());
	EQUAL(info.si_uid, getuid());
	if (code == SI_QUEUE || code == -9)
		EQUAL(info.si_value.sival_int, value);
}

static void none_left(int sig)
{
	struct timespec none = {0, 0};
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, sig);
	EQUAL(sigtimedwait(&one, 0, &none), -1);
	EQUAL(errno, EAGAIN);
}

static void *other(void *arg)
{
	pid_t tid = syscall(SYS_gettid);

	(void)arg;
	for (int i = 0; i < 5; i++)
		queue(tid, SIGRTMIN + 2, SI_QUEUE, 200 + i);
	queue(tid, SIGHUP, SI_QUEUE, 300);
	pthread_barrier_wait(&started);
	await_go();
	for (int i = 0; i < 5; i++)
		next(SIGRTMIN + 2, SI_QUEUE, 200 + i);
	next(SIGHUP, SI_QUEUE, 300);
	none_left(SIGHUP);
	pthread_barrier_wait(&started);
	return 0;
}

int main(void)
{
	pthread_t thread;
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 5};
	struct itimerspec soon = {{0, 0}, {0, 1}};
	struct timespec none = {0, 0};
	siginfo_t info;
	sigset_t pending, one;

	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	CHECK(pthread_barrier_init(&started, 0, 2) == 0);
	CHECK(pthread_create(&thread, 0, other, 0) == 0);
	pthread_barrier_wait(&started);

	CHECK(kill(getpid(), SIGUSR1) == 0);
	CHECK(kill(getpid(), SIGUSR1) == 0); /* the kernel drops a second one: signals below SIGRTMIN do not queue */
	for (int i = 0; i < 20; i++)
		queue(0, SIGRTMIN + 1, SI_QUEUE, 100 + i);
	queue(0, SIGRTMIN + 7, -9, 77); /* a si_code that the program chose */
	queue(syscall(SYS_gettid), SIGTERM, SI_QUEUE, 400);
	event.sigev_value.sival_int = 555;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	CHECK(timer_settime(timer, 0, &soon, 0) == 0);
	do
		CHECK(sigpending(&pending) == 0);
	while (!sigismember(&pending, SIGRTMIN + 5));

	ready();
	await_go();

	next(SIGUSR1, SI_USER, 0);
	none_left(SIGUSR1);
	for (int i = 0; i < 20; i++)
		next(SIGRTMIN + 1, SI_QUEUE, 100 + i);
	none_left(SIGRTMIN + 1);
	next(SIGRTMIN + 7, -9, 77);
	next(SIGTERM, SI_QUEUE, 400);
	none_left(SIGRTMIN + 2); /* that one is pending for the other thread */
	sigemptyset(&one);
	sigaddset(&one, SIGRTMIN + 5);
	CHECK(sigtimedwait(&one, &info, &none) == SIGRTMIN + 5);
	EQUAL(info.si_code, SI_TIMER);
	EQUAL(info.si_value.sival_int, 555);
	pthread_barrier_wait(&started);
	CHECK(pthread_join(thread, 0) == 0);
	CHECK(sigpending(&pending) == 0);
	for (int sig = 1; sig <= 64; sig++)
		if (sigismember(&pending, sig) == 1)
			fail("signal %d is pending, and nobody sent it", sig);
	pass();
}
