/* Two nested handlers, the inner one on the alternate stack; also handlers with SA_RESETHAND and SA_NODEFER. */
#include "check.h"

#include <signal.h>
#include <ucontext.h>

static char altstack[131072];
static volatile int depth, unmasked, again;
static volatile uint64_t seen;

static int blocked(int sig)
{
	sigset_t now;
	CHECK(sigprocmask(SIG_SETMASK, 0, &now) == 0);
	return sigismember(&now, sig);
}

static int on_altstack(void)
{
	stack_t now;
	CHECK(sigaltstack(0, &now) == 0);
	return now.ss_flags & SS_ONSTACK;
}

/* The inner handler: here the program is checkpointed. */
static void inner(int sig, siginfo_t *info, void *context)
{
	uint64_t local[100];
	char here;

	EQUAL(sig, SIGRTMIN + 1);
	EQUAL(info->si_value.sival_int, 4711);
	CHECK(&here > altstack && &here < altstack + sizeof altstack);
	CHECK(on_altstack());
	fill(local, sizeof local, 9);
	depth++;
	ready();
	await_go();
	check_filled(local, sizeof local, 9);
	EQUAL(depth, 2);
	CHECK(on_altstack());
	CHECK(blocked(SIGRTMIN + 1) && blocked(SIGHUP) && blocked(SIGUSR1) && !blocked(SIGTERM));
	EQUAL(info->si_value.sival_int, 4711);
	CHECK(sigismember(&((ucontext_t *)context)->uc_sigmask, SIGUSR1) == 1);
	depth--;
}

static void outer(int sig)
{
	uint64_t local[100];
	union sigval value = {.sival_int = 4711};

	EQUAL(sig, SIGUSR1);
	CHECK(!on_altstack());
	fill(local, sizeof local, 8);
	depth++;
	CHECK(sigqueue(getpid(), SIGRTMIN + 1, value) == 0);
	check_filled(local, sizeof local, 8);
	CHECK(blocked(SIGUSR1) && !blocked(SIGRTMIN + 1) && !blocked(SIGHUP));
	depth--;
}

static void once(int sig)
{
	CHECK(!blocked(sig));
	unmasked++;
}

static void nested(int sig)
{
	if (again++ < 3)
		CHECK(raise(sig) == 0);
}

int main(void)
{
	stack_t stack = {.ss_sp = altstack, .ss_size = sizeof altstack};
	struct sigaction action = {.sa_handler = outer}, now;
	uint64_t local[100];
	long rsp_before, rsp_after;

	CHECK(sigaltstack(&stack, 0) == 0);
	CHECK(sigaction(SIGUSR1, &action, 0) == 0);
	action.sa_sigaction = inner;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaddset(&action.sa_mask, SIGHUP);
	CHECK(sigaction(SIGRTMIN + 1, &action, 0) == 0);
	action = (struct sigaction){.sa_handler = once, .sa_flags = SA_RESETHAND | SA_NODEFER};
	CHECK(sigaction(SIGWINCH, &action, 0) == 0);
	action = (struct sigaction){.sa_handler = nested, .sa_flags = SA_NODEFER};
	CHECK(sigaction(SIGCONT, &action, 0) == 0);
	fill(local, sizeof local, 7);

	__asm__ volatile("mov %%rsp, %0" : "=r"(rsp_before));
	CHECK(raise(SIGUSR1) == 0);
	__asm__ volatile("mov %%rsp, %0" : "=r"(rsp_after));

	EQUAL(rsp_after, rsp_before);
	EQUAL(depth, 0);
	check_filled(local, sizeof local, 7);
	CHECK(!on_altstack() && !blocked(SIGUSR1) && !blocked(SIGRTMIN + 1));
	CHECK(raise(SIGWINCH) == 0);
	CHECK(raise(SIGWINCH) == 0); /* SA_RESETHAND has set the default action: ignore */
	EQUAL(unmasked, 1);
	CHECK(sigaction(SIGWINCH, 0, &now) == 0 && now.sa_handler == SIG_DFL);
	CHECK(raise(SIGCONT) == 0);
	EQUAL(again, 4);
	pass();
}
