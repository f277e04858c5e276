/* The dispositions of all 64 signals, with their flags and masks, as the kernel has them. */
#include "check.h"

#include <signal.h>

#define FREEZE 33 /* the freeze signal of libcrak.so */

struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

static struct kernel_action before[65];

static int get(int sig, struct kernel_action *action)
{
	return syscall(SYS_rt_sigaction, sig, 0, action, 8);
}

static void handler(int sig)
{
	(void)sig;
}

static void informed(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info, (void)context;
}

int main(void)
{
	static const int flags[] = {0, SA_RESTART, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_NOCLDSTOP, SA_NOCLDWAIT};

	for (int sig = 1; sig <= 64; sig++) {
		struct sigaction action = {0};
		if (sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == FREEZE || sig == SIGUSR2)
			continue;
		switch (sig % 4) {
		case 0:
			action.sa_handler = SIG_IGN;
			break;
		case 1:
			action.sa_handler = handler;
			break;
		case 2:
			action.sa_sigaction = informed;
			action.sa_flags = SA_SIGINFO;
			break;
		case 3:
			action.sa_handler = SIG_DFL;
			break;
		}
		action.sa_flags |= flags[sig % 7];
		sigemptyset(&action.sa_mask);
		sigaddset(&action.sa_mask, 1 + sig % 31);
		sigaddset(&action.sa_mask, 34 + sig % 30);
		CHECK(sigaction(sig, &action, 0) == 0);
	}
	for (int sig = 1; sig <= 64; sig++)
		if (sig != FREEZE)
			CHECK(get(sig, &before[sig]) == 0);
	ready();
	await_go();
	for (int sig = 1; sig <= 64; sig++) {
		struct kernel_action now;
		if (sig == FREEZE)
			continue;
		CHECK(get(sig, &now) == 0);
		if (memcmp(&now, &before[sig], sizeof now))
			fail("signal %d: handler %p flags %#lx mask %#llx, want %p %#lx %#llx", sig, now.handler,
			     now.flags, (unsigned long long)now.mask, before[sig].handler, before[sig].flags,
			     (unsigned long long)before[sig].mask);
	}
	pass();
}
