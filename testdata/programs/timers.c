/* setitimer, alarm and POSIX timers: IDs, kinds, intervals, remaining times, overruns; each still fires. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#define LONG_S 10000

static volatile sig_atomic_t alarms;
static volatile sig_atomic_t by_thread;
static __thread volatile int own_signals;
static timer_t timers[10];

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void on_own(int sig)
{
	(void)sig;
	own_signals++;
}

/* remains checks that a remaining time is the earlier one, less at most a minute. */
static void remains(const char *what, time_t have, time_t want)
{
	if (have > want || have < want - 60)
		fail("%s: %ld s remain, want %ld or a little less", what, (long)have, (long)want);
}

static timer_t make(clockid_t clock, int notify, int sig, int value, pid_t tid)
{
	struct sigevent event = {.sigev_notify = notify, .sigev_signo = sig};
	timer_t timer;

	event.sigev_value.sival_int = value;
	event._sigev_un._tid = tid;
	CHECK(timer_create(clock, &event, &timer) == 0);
	return timer;
}

static void arm(timer_t timer, time_t seconds, long ns, time_t interval, int flags)
{
	struct itimerspec t = {{interval, 0}, {seconds, ns}};
	CHECK(timer_settime(timer, flags, &t, 0) == 0);
}

static void armed(int number, time_t seconds, time_t interval)
{
	struct itimerspec t;
	char name[32];

	CHECK(timer_gettime(timers[number], &t) == 0);
	snprintf(name, sizeof name, "timer %d", number);
	remains(name, t.it_value.tv_sec, seconds);
	EQUAL(t.it_interval.tv_sec, interval);
}

/* A thread with its own timer (SIGEV_THREAD_ID): only this thread gets the signal. */
static void *work(void *arg)
{
	timer_t timer = make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 1, 0, syscall(SYS_gettid));
	struct itimerspec t = {{0, 2000000}, {0, 2000000}};

	CHECK(timer_settime(timer, 0, &t, 0) == 0);
	pthread_barrier_wait(arg);
	while (access("fire", F_OK)) /* a sleep would be interrupted by the timer */
		;
	own_signals = 0;
	while (own_signals < 5)
		;
	by_thread = 1;
	return 0;
}

static void check_itimers(void)
{
	static const int kinds[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
	struct itimerval t;

	for (int i = 0; i < 3; i++) {
		CHECK(getitimer(kinds[i], &t) == 0);
		remains("itimer", t.it_value.tv_sec, LONG_S + i);
		EQUAL(t.it_interval.tv_sec, i * 7);
	}
}

/* An expired timer whose signal is blocked counts overruns. The signal's siginfo has their number. */
static void check_overrun(timer_t timer, const sigset_t *set)
{
	siginfo_t info;

	CHECK(sigwaitinfo(set, &info) == SIGRTMIN + 2);
	EQUAL(info.si_code, SI_TIMER);
	EQUAL(info.si_value.sival_int, 99);
	if (info.si_overrun < 10)
		fail("%d overruns, want 10 at least", info.si_overrun);
	EQUAL(timer_getoverrun(timer), info.si_overrun);
}

int main(void)
{
	struct itimerval real = {{0, 0}, {LONG_S, 0}}, virtual = {{7, 0}, {LONG_S + 1, 0}}, prof = {{14, 0}, {LONG_S + 2, 0}};
	struct sigaction action = {.sa_handler = on_alarm};
	struct timespec now;
	pthread_barrier_t started;
	pthread_t thread;
	sigset_t overrun;

	CHECK(sigaction(SIGALRM, &action, 0) == 0);
	action.sa_handler = on_own;
	CHECK(sigaction(SIGRTMIN + 1, &action, 0) == 0);
	sigemptyset(&overrun);
	sigaddset(&overrun, SIGRTMIN + 2);
	CHECK(sigprocmask(SIG_BLOCK, &overrun, 0) == 0);
	CHECK(setitimer(ITIMER_REAL, &real, 0) == 0);
	CHECK(setitimer(ITIMER_VIRTUAL, &virtual, 0) == 0);
	CHECK(setitimer(ITIMER_PROF, &prof, 0) == 0);

	for (int i = 0; i < 10; i++)
		timers[i] = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
	for (int i = 1; i < 10; i += 2) /* gaps among the ids */
		CHECK(timer_delete(timers[i]) == 0);
	arm(timers[0], LONG_S, 0, 0, 0);
	arm(timers[2], LONG_S, 500, 33, 0);
	CHECK(timer_delete(timers[8]) == 0);
	timers[8] = make(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 3, 1, 0);
	CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
	arm(timers[8], now.tv_sec + LONG_S, 0, 0, TIMER_ABSTIME);
	timers[9] = make(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGRTMIN + 3, 2, 0);
	arm(timers[9], LONG_S, 0, 44, 0);
	timers[1] = make(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN + 3, 3, 0);
	arm(timers[1], LONG_S, 0, 0, 0);
	timers[3] = make(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN + 3, 4, 0);
	arm(timers[3], LONG_S, 0, 0, 0);
	timers[5] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 99, 0);
	CHECK(timer_settime(timers[5], 0, &(struct itimerspec){{0, 1000000}, {0, 1000000}}, 0) == 0);
	pause_ms(40);

	CHECK(pthread_barrier_init(&started, 0, 2) == 0);
	CHECK(pthread_create(&thread, 0, work, &started) == 0);
	pthread_barrier_wait(&started);
	check_itimers();
	armed(0, LONG_S, 0);

	ready();
	await_go();

	EQUAL(alarms, 0);
	check_itimers();
	armed(0, LONG_S, 0);
	armed(2, LONG_S, 33);
	armed(8, LONG_S, 0);
	armed(9, LONG_S, 44);
	armed(1, LONG_S, 0);
	armed(3, LONG_S, 0);
	armed(4, 0, 0); /* was never armed */
	check_overrun(timers[5], &overrun);
	CHECK(timer_delete(timers[5]) == 0);
	EQUAL(timer_delete(timers[7]), -1); /* was deleted */
	EQUAL(errno, EINVAL);

	CHECK(close(open("fire", O_CREAT | O_WRONLY, 0600)) == 0);
	CHECK(pthread_join(thread, 0) == 0 && by_thread);
	EQUAL(own_signals, 0); /* the main thread got none of these signals */
	remains("alarm", alarm(1), LONG_S);
	while (!alarms)
		nanosleep(&(struct timespec){0, 1000000}, 0); /* pause(2) would wait for ever if the alarm came just before it */
	EQUAL(alarm(0), 0);
	pass();
}
