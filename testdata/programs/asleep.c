/*
 * One thread is blocked in each system call that can block. No call returns because of a checkpoint or a restart, and each still
 * returns when the event that it waits for occurs.
 */
#include "check.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/time.h>

#define HOUR 3600
#define PAYLOAD 7711

static int futex_word, timed_word, bitset_word, raw_word;
static int queue, semaphores;
static sigset_t only_rt;

static struct timespec in_an_hour(clockid_t clock)
{
	struct timespec t;
	CHECK(clock_gettime(clock, &t) == 0);
	t.tv_sec += HOUR;
	return t;
}

/* Calls that fail with EINTR when a signal with a handler arrives. */

static int do_nanosleep(void)
{
	struct timespec t = {HOUR, 0};
	return nanosleep(&t, 0);
}

static int do_clock_nanosleep(void)
{
	struct timespec t = {HOUR, 0};
	errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0);
	return errno ? -1 : 0;
}

static int do_clock_nanosleep_until(void)
{
	struct timespec t = in_an_hour(CLOCK_REALTIME);
	errno = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, 0);
	return errno ? -1 : 0;
}

static int do_poll(void)
{
	return poll(0, 0, -1);
}

static int do_poll_timeout(void)
{
	return poll(0, 0, HOUR * 1000);
}

static int do_ppoll(void)
{
	struct timespec t = {HOUR, 0};
	return ppoll(0, 0, &t, 0);
}

static int do_select(void)
{
	struct timeval t = {HOUR, 0};
	return select(0, 0, 0, 0, &t);
}

static int do_pselect(void)
{
	return pselect(0, 0, 0, 0, 0, 0);
}

static int do_pause(void)
{
	return pause();
}

static int do_sigsuspend(void)
{
	sigset_t none;
	sigemptyset(&none);
	return sigsuspend(&none);
}

static int do_msgrcv(void)
{
	struct { long type; char text[8]; } message;
	return msgrcv(queue, &message, sizeof message.text, 99, 0);
}

static int do_semop(void)
{
	struct sembuf down = {1, -1, 0};
	return semop(semaphores, &down, 1);
}

static int do_semtimedop(void)
{
	struct sembuf down = {1, -1, 0};
	struct timespec t = {HOUR, 0};
	return semtimedop(semaphores, &down, 1, &t);
}

/* The program loads rax long before, so the instructions before `syscall` do not show the call's number. */
static int do_raw(void)
{
	long rax = SYS_pause;
	__asm__ volatile("nop\n\tnop\n\tnop\n\tsyscall" : "+a"(rax) : : "rcx", "r11", "memory");
	errno = (int)-rax;
	return -1;
}

/* Calls that return when the event that they wait for occurs. */

static int do_futex(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
}

static int do_futex_timeout(void)
{
	struct timespec t = {HOUR, 0};
	return syscall(SYS_futex, &timed_word, FUTEX_WAIT_PRIVATE, 0, &t, 0, 0);
}

static int do_futex_bitset(void)
{
	struct timespec t = in_an_hour(CLOCK_MONOTONIC);
	return syscall(SYS_futex, &bitset_word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, 0, 4);
}

static int do_futex_shared(void)
{
	return syscall(SYS_futex, &raw_word, FUTEX_WAIT, 0, 0, 0, 0);
}

static int do_sigwaitinfo(void)
{
	siginfo_t info;
	int sig = sigwaitinfo(&only_rt, &info);
	if (sig > 0)
		EQUAL(info.si_value.sival_int, PAYLOAD);
	return sig < 0 ? -1 : 0;
}

static int do_sigtimedwait(void)
{
	struct timespec t = {HOUR, 0};
	siginfo_t info;
	int sig = sigtimedwait(&only_rt, &info, &t);
	if (sig > 0)
		EQUAL(info.si_value.sival_int, PAYLOAD);
	return sig < 0 ? -1 : 0;
}

enum waker { BY_SIGNAL, BY_FUTEX, BY_QUEUED };

static struct sleeper {
	const char *name;
	int (*call)(void);
	enum waker waker;
	int *word;
	pthread_t thread;
	volatile pid_t tid;
	volatile int returned, result, error;
} sleepers[] = {
#define S(name) #name, do_##name
	{S(nanosleep), .waker = BY_SIGNAL},
	{S(clock_nanosleep), .waker = BY_SIGNAL},
	{S(clock_nanosleep_until), .waker = BY_SIGNAL},
	{S(poll), .waker = BY_SIGNAL},
	{S(poll_timeout), .waker = BY_SIGNAL},
	{S(ppoll), .waker = BY_SIGNAL},
	{S(select), .waker = BY_SIGNAL},
	{S(pselect), .waker = BY_SIGNAL},
	{S(pause), .waker = BY_SIGNAL},
	{S(sigsuspend), .waker = BY_SIGNAL},
	{S(msgrcv), .waker = BY_SIGNAL},
	{S(semop), .waker = BY_SIGNAL},
	{S(semtimedop), .waker = BY_SIGNAL},
	{S(raw), .waker = BY_SIGNAL},
	{S(futex), .waker = BY_FUTEX, .word = &futex_word},
	{S(futex_timeout), .waker = BY_FUTEX, .word = &timed_word},
	{S(futex_bitset), .waker = BY_FUTEX, .word = &bitset_word},
	{S(futex_shared), .waker = BY_FUTEX, .word = &raw_word},
	{S(sigwaitinfo), .waker = BY_QUEUED},
	{S(sigtimedwait), .waker = BY_QUEUED},
};
#define COUNT (sizeof sleepers / sizeof sleepers[0])

static void on_usr1(int sig)
{
	(void)sig;
}

static void *sleep_in(void *arg)
{
	struct sleeper *s = arg;

	CHECK(pthread_setname_np(pthread_self(), strndup(s->name, 15)) == 0);
	s->tid = syscall(SYS_gettid);
	errno = 0;
	s->result = s->call();
	s->error = errno;
	s->returned = 1;
	return 0;
}

/* until_asleep waits until /proc shows that the thread is blocked. */
static void until_asleep(const struct sleeper *s)
{
	char path[64], line[512], *state;

	while (!s->tid)
		pause_ms(1);
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", s->tid);
	do {
		pause_ms(1);
		slurp(path, line, sizeof line);
		state = strrchr(line, ')');
	} while (!state || state[2] != 'S');
}

static void wake(struct sleeper *s)
{
	union sigval value = {.sival_int = PAYLOAD};

	switch (s->waker) {
	case BY_SIGNAL:
		CHECK(pthread_kill(s->thread, SIGUSR1) == 0);
		break;
	case BY_FUTEX:
		*s->word = 1;
		EQUAL(syscall(SYS_futex, s->word, FUTEX_WAKE, 1, 0, 0, 0) +
		      syscall(SYS_futex, s->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0), 1);
		break;
	case BY_QUEUED:
		CHECK(pthread_sigqueue(s->thread, SIGRTMIN + 3, value) == 0);
		break;
	}
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_usr1};

	CHECK(sigaction(SIGUSR1, &action, 0) == 0);
	sigemptyset(&only_rt);
	sigaddset(&only_rt, SIGRTMIN + 3);
	CHECK(pthread_sigmask(SIG_BLOCK, &only_rt, 0) == 0);
	CHECK((queue = msgget(IPC_PRIVATE, 0600)) >= 0);
	CHECK((semaphores = semget(IPC_PRIVATE, 2, 0600)) >= 0);
	for (size_t i = 0; i < COUNT; i++)
		CHECK(pthread_create(&sleepers[i].thread, 0, sleep_in, &sleepers[i]) == 0);
	for (size_t i = 0; i < COUNT; i++)
		until_asleep(&sleepers[i]);

	ready();
	await_go();

	for (size_t i = 0; i < COUNT; i++) {
		struct sleeper *s = &sleepers[i];
		if (s->returned)
			fail("%s returned %d, errno %d", s->name, s->result, s->error);
	}
	for (size_t i = 0; i < COUNT; i++) {
		struct sleeper *s = &sleepers[i];
		until_asleep(s);
		wake(s);
		CHECK(pthread_join(s->thread, 0) == 0);
		if (s->result != (s->waker == BY_SIGNAL ? -1 : 0) || (s->waker == BY_SIGNAL && s->error != EINTR))
			fail("%s, woken, returned %d, errno %d", s->name, s->result, s->error);
	}
	CHECK(msgctl(queue, IPC_RMID, 0) == 0);
	CHECK(semctl(semaphores, 0, IPC_RMID) == 0);
	pass();
}
