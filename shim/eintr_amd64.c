/*
 * A signal that comes while a program stands still finds its thread on the way back into the call that it slept in: the
 * kernel would run the handler first and then make the call, which goes on sleeping. Had it slept on, the call would
 * have been interrupted, and programs wait for that (a resized terminal, an alarm). So the call fails with EINTR, as it
 * would have.
 *
 * Only where there is one thread: of several, another may take the signal, and then nothing has happened here.
 */

#include <errno.h>

#include "resident.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])

/* always: the call is of those that SA_RESTART does not help. */
static int interrupts(int signal, int always)
{
	struct kernel_sigaction action;

	if (SYSCALL_4(SYS_rt_sigaction, signal, NULL, &action, sizeof(action.mask)) || is_our_action(&action))
		return 0;
	return action.handler != (void *)SIG_DFL && action.handler != (void *)SIG_IGN &&
	       (always || !(action.flags & SA_RESTART));
}

/* number: the system call in which the thread was blocked, or -1. Preconditions: every signal is blocked, and the caller
 * returns to the frame next. */
void frame_fail_with_eintr(ucontext_t *context, const struct abi_thread *thread, int number)
{
	const unsigned char *next = (const unsigned char *)REGISTER(context, RIP);
	unsigned long pending = 0, blocked;

	if (number < 0 || REGISTER(context, RAX) != number || next[0] != 0x0f || next[1] != 0x05)
		return;
	if (thread->syscall < 0 && !is_interruptible(number, INTERRUPTED_WITHOUT_RESTART))
		return;
	SYSCALL_2(SYS_rt_sigpending, &pending, sizeof(pending));
	__builtin_memcpy(&blocked, &context->uc_sigmask, sizeof(blocked));
	for (pending &= ~blocked; pending; pending &= pending - 1) {
		if (!interrupts(__builtin_ctzl(pending) + 1, thread->syscall >= 0))
			continue;
		REGISTER(context, RAX) = -EINTR;
		REGISTER(context, RIP) += 2;
		return;
	}
}
