/*
 * Processes that have asked for a notification of the next message (mq_notify(3)): by a real-time signal with a value, of an empty queue; by
 * SIGUSR1, of a queue with messages, which notifies only after it has been empty; by a thread; without any signal (SIGEV_NONE); and in a
 * child that can only write to the queue.
 */
#include "group.h"

#include <mqueue.h>
#include <semaphore.h>

static void *const value = (void *)0x1234567890abcdef;
static mqd_t empty, full, threaded, silent, theirs;
static char name[40];
static sem_t notified;

static mqd_t opened(const char *what, int mode)
{
	struct mq_attr a = {.mq_maxmsg = 3, .mq_msgsize = 5};
	mqd_t q;

	snprintf(name, sizeof name, "/crak-%s-%d", what, getpid());
	q = mq_open(name, mode | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &a);
	CHECK(q >= 0);
	CHECK(mq_unlink(name) == 0);
	return q;
}

static void by_signal(mqd_t q, int number, void *with)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number, .sigev_value.sival_ptr = with};

	CHECK(mq_notify(q, &event) == 0);
}

static void in_thread(union sigval with)
{
	CHECK(with.sival_ptr == value);
	CHECK(sem_post(&notified) == 0);
}

/* nothing checks that no notification has arrived, and that somebody has asked for one. */
static void nothing(mqd_t q)
{
	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGCHLD);
	CHECK(sigtimedwait(&all, 0, &(struct timespec){0, 0}) == -1 && errno == EAGAIN);
	CHECK(mq_notify(q, &event) == -1 && errno == EBUSY);
}

static void arrives(mqd_t q, int number, void *with)
{
	sigset_t one;
	siginfo_t info;

	nothing(q);
	CHECK(mq_send(q, "next", 4, 1) == 0);
	sigemptyset(&one);
	sigaddset(&one, number);
	EQUAL(sigtimedwait(&one, &info, &(struct timespec){60, 0}), number);
	EQUAL(info.si_code, SI_MESGQ);
	EQUAL(info.si_pid, getpid());
	CHECK(info.si_ptr == with);
	by_signal(q, number, with); /* the notification was for one message */
}

static int waits(long unused)
{
	char text[5];

	(void)unused;
	by_signal(theirs, SIGRTMIN + 3, value);
	mark("asked");
	await_go();
	nothing(theirs);
	arrives(theirs, SIGRTMIN + 3, value);
	return mq_receive(theirs, text, 5, 0) == -1 && errno == EBADF;
}

/* waits_already waits with a pending signal of the same number, until the lab makes the file read. */
static void waits_already(void)
{
	sigset_t one;

	CHECK(kill(getpid(), SIGRTMIN + 1) == 0);
	ready();
	await_file("read");
	sigemptyset(&one);
	sigaddset(&one, SIGRTMIN + 1);
	EQUAL(sigtimedwait(&one, 0, &(struct timespec){0, 0}), SIGRTMIN + 1);
}

int main(int argc, char **argv)
{
	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	char text[5];
	sigset_t all;
	pid_t pid;

	sigfillset(&all);
	sigdelset(&all, SIGUSR2); /* asks for a checkpoint */
	sigprocmask(SIG_BLOCK, &all, 0);
	CHECK(sem_init(&notified, 0, 0) == 0);
	empty = opened("empty", O_RDWR);
	full = opened("full", O_RDWR);
	threaded = opened("threaded", O_RDWR);
	silent = opened("silent", O_RDONLY);
	theirs = opened("theirs", O_WRONLY);
	(void)argv;
	by_signal(empty, SIGRTMIN + 1, value);
	if (argc > 1)
		waits_already();
	CHECK(mq_send(full, "first", 5, 1) == 0);
	CHECK(mq_send(full, "", 0, 7) == 0);
	by_signal(full, SIGUSR1, 0);
	CHECK(mq_notify(silent, &event) == 0);
	event = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_thread, .sigev_value.sival_ptr = value};
	CHECK(mq_notify(threaded, &event) == 0);
	pid = child(waits, 0);
	await_mark("asked");
	ready();
	await_go();

	nothing(silent);
	nothing(threaded);
	arrives(empty, SIGRTMIN + 1, value);
	nothing(full);
	EQUAL(mq_receive(full, text, 5, 0), 0);
	EQUAL(mq_receive(full, text, 5, 0), 5);
	nothing(full);
	arrives(full, SIGUSR1, 0);
	CHECK(mq_send(threaded, "next", 4, 1) == 0);
	CHECK(sem_wait(&notified) == 0);
	reap(pid, 1);
	nothing(empty);
	pass();
}
