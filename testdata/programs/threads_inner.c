/* Threads that the program makes without pthread_create: by thrd_create (C11), or for a timer with SIGEV_THREAD. */
#include "check.h"

#include <dirent.h>
#include <signal.h>
#include <threads.h>

static volatile int fired, go;

static void on_timer(union sigval value)
{
	fired = value.sival_int;
}

static int wait_for_go(void *arg)
{
	while (!go)
		pause_ms(1);
	return (int)(intptr_t)arg;
}

static timer_t make_timer(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_timer};
	timer_t timer;

	event.sigev_value.sival_int = 5;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	return timer;
}

/* glibc makes a thread with every signal blocked, also SIGSETXID, and unblocks them when the thread begins. */
static int has_begun(const char *tid)
{
	char path[300], status[8192];
	char *blocked;

	snprintf(path, sizeof path, "/proc/self/task/%s/status", tid);
	slurp(path, status, sizeof status);
	blocked = strstr(status, "SigBlk:");
	CHECK(blocked);
	return !(strtoull(blocked + 7, NULL, 16) >> (33 - 1) & 1);
}

static void await_beginnings(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;

	CHECK(tasks);
	while ((task = readdir(tasks)))
		while (task->d_name[0] != '.' && !has_begun(task->d_name))
			pause_ms(1);
	CHECK(closedir(tasks) == 0);
}

int main(int argc, char **argv)
{
	int by_timer = argc > 1 && !strcmp(argv[1], "timer"), result;
	timer_t timer = by_timer ? make_timer() : 0;
	thrd_t thread;

	CHECK(thrd_create(&thread, wait_for_go, (void *)9) == thrd_success);
	if (!by_timer)
		timer = make_timer();
	await_beginnings();
	ready();
	await_go();
	CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 1000000}}, 0) == 0);
	while (!fired)
		pause_ms(1);
	EQUAL(fired, 5);
	go = 1;
	CHECK(thrd_join(thread, &result) == thrd_success);
	EQUAL(result, 9);
	/* glibc's timer thread must still exist for the next expiration. */
	fired = 0;
	CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 1000000}}, 0) == 0);
	while (!fired)
		pause_ms(1);
	pass();
}
