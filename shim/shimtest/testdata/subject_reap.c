/* Modes that look how the program hears of the end of the reaper. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"
#include "crak.h"
#include "subject.h"

#define FREEZE_SIGNAL_SET (1ul << (ABI_FREEZE_SIGNAL - 1))

static int trigger(void)
{
	return syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2);
}

static int is_freeze_signal_pending(void)
{
	unsigned long pending = 0;

	syscall(SYS_rt_sigpending, &pending, sizeof(pending));
	return (pending & FREEZE_SIGNAL_SET) != 0;
}

/* Returns 1 if the program has no child of any kind. The call is not interposed. */
static int is_childless(void)
{
	return syscall(SYS_waitid, P_ALL, 0, NULL, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) == -1 && errno == ECHILD;
}

static void *wait_for_events(void *instance)
{
	struct epoll_event event;

	epoll_wait(*(int *)instance, &event, 1, -1);
	return instance;
}

/*
 * The main thread triggers a writer that cannot start, so its reaper ends at once. The main thread blocks the freeze signal meanwhile.
 * The signal must wait for this thread. If the kernel had sent it to the process, the other thread would have taken it.
 */
void told(void)
{
	const struct timespec none = { 0 };
	unsigned long set = FREEZE_SIGNAL_SET;
	int instance = epoll_create1(0);
	pthread_t other;
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	pthread_create(&other, NULL, wait_for_events, &instance);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, sizeof(set));
	trigger();
	for (int i = 0; i < 10000 && !is_freeze_signal_pending(); i++)
		usleep(1000); /* in sigwait(3) this thread would take the process's signals, too */
	say("SIGNAL", syscall(SYS_rt_sigtimedwait, &set, &info, &none, sizeof(set)));
	say("REAP", info.si_code == SI_QUEUE && info.si_errno == ABI_ORDER_REAP);
	say("CHILDLESS", is_childless());
	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), ABI_FREEZE_SIGNAL, &info);
	syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, sizeof(set));
	say("CHILDLESS", is_childless());
}

static void *trigger_and_end(void *unused)
{
	trigger();
	return unused;
}

/* A thread triggers a checkpoint and ends. The reaper, which lives until crak_release, outlives it. */
void outlived(void)
{
	pthread_t thread;

	crak_hold();
	pthread_create(&thread, NULL, trigger_and_end, NULL);
	pthread_join(thread, NULL);
	say("CHILDLESS", is_childless());
	crak_release();
	for (int i = 0; i < 10000 && !is_childless(); i++)
		usleep(1000); /* a wait would reap the child */
	say("CHILDLESS", is_childless());
}
