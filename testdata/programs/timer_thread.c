/* A timer that calls a function (SIGEV_THREAD): glibc makes a thread for it, without a call of pthread_create. */
#include "check.h"

#include <signal.h>

static volatile int calls;

static void on_timer(union sigval value)
{
	EQUAL(value.sival_int, 77);
	__atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
}

int main(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD};
	struct itimerspec often = {{0, 10000000}, {0, 10000000}};
	timer_t timer;
	int before;

	event.sigev_notify_function = on_timer;
	event.sigev_value.sival_int = 77;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	CHECK(timer_settime(timer, 0, &often, NULL) == 0);
	while (calls < 3)
		pause_ms(2);
	ready();
	await_go();
	before = calls;
	while (calls < before + 5)
		pause_ms(2);
	pass();
}
