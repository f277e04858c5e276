/*
 * A signal may become pending while the program is frozen. Without the freeze it would have interrupted the blocked
 * system call, and the call would have failed with EINTR. Programs depend on that (a resized terminal, an alarm). After
 * the freeze, however, the kernel would run the program's handler first and then make the system call again, which
 * would block again. So the resident lets the call fail with EINTR, or return what it has transferred (rest_amd64.c).
 *
 * It does so only in a process with one thread. Where there are several, another thread may take the signal.
 */

#include <errno.h>

#include "resident.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])

/* Returns 1 if the signal runs a handler of the program's that interrupts the blocked call. always: SA_RESTART makes no
 * difference for that call. */
static int interrupts(int signal, int always)
{
	struct kernel_sigaction action;

	if (SYSCALL_4(SYS_rt_sigaction, signal, NULL, &action, sizeof(action.mask)) || is_our_action(&action))
		return 0;
	return action.handler != (void *)SIG_DFL && action.handler != (void *)SIG_IGN &&
	       (always || !(action.flags & SA_RESTART));
}

/* Returns 1 if a pending signal would have interrupted the call. */
static int is_pending(const ucontext_t *context, int always)
{
	unsigned long pending = 0, blocked;

	SYSCALL_2(SYS_rt_sigpending, &pending, sizeof(pending));
	__builtin_memcpy(&blocked, &context->uc_sigmask, sizeof(blocked));
	for (pending &= ~blocked; pending; pending &= pending - 1)
		if (interrupts(__builtin_ctzl(pending) + 1, always))
			return 1;
	return 0;
}

/* number: the system call in which the thread was blocked, or -1. Preconditions: every signal is blocked, and the caller
 * returns to the frame next. */
void frame_fail_with_eintr(ucontext_t *context, const struct abi_thread *thread, int number)
{
	const unsigned char *next = (const unsigned char *)REGISTER(context, RIP);

	if (rest_is_next(context)) {
		if (is_pending(context, 1))
			rest_end(context);
		return;
	}
	if (number < 0 || REGISTER(context, RAX) != number || next[0] != 0x0f || next[1] != 0x05)
		return;
	if (thread->syscall < 0 && !is_interruptible(number, INTERRUPTED_WITHOUT_RESTART))
		return;
	if (!is_pending(context, thread->syscall >= 0))
		return;
	REGISTER(context, RAX) = -EINTR;
	REGISTER(context, RIP) += 2;
}
