/* The two signal handlers: the trigger, which starts a writer, and the freeze signal, by which it speaks to us. */

#include <errno.h>
#include <linux/futex.h>

#include "resident.h"

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

extern void crak_restore_rt(void) __attribute__((visibility("hidden")));

static long change_action(int signal, const struct kernel_sigaction *new, struct kernel_sigaction *old)
{
	return SYSCALL_4(SYS_rt_sigaction, signal, new, old, sizeof(old->mask));
}

static struct kernel_sigaction action_of(void (*handler)(int, siginfo_t *, void *))
{
	return (struct kernel_sigaction){
		.handler = (void *)handler,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_RESTORER,
		.restorer = (void *)crak_restore_rt,
		.mask = ~0ul,
	};
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
	void *handler = resident.passed_on.handler;

	if (handler == (void *)SIG_DFL || handler == (void *)SIG_IGN)
		return;
	if (resident.passed_on.flags & SA_SIGINFO)
		((void (*)(int, siginfo_t *, void *))handler)(signal, info, context);
	else
		((void (*)(int))handler)(signal);
}

/* Starts the writer that a request waits for, once the one before it is gone. */
static int next_writer(void)
{
	int error;

	if (load(&own.writer) != 0 || !__atomic_exchange_n(&own.again, 0, __ATOMIC_SEQ_CST))
		return 0;
	error = spawn_writer();
	return error < 0 ? error : 0;
}

/* A request that comes while a writer is at work waits for its end; of more than one the others are refused. */
static void start_writer(void)
{
	int error = spawn_writer();

	if (error == -EBUSY && !__atomic_exchange_n(&own.again, 1, __ATOMIC_SEQ_CST))
		error = next_writer();
	if (error < 0 && error != -EPERM) /* a child of vfork leaves it to its parent */
		log_failure(error);
}

static void on_freeze_signal(int signal, siginfo_t *info, void *context)
{
	if (info->si_code > 0 && info->si_code <= CLD_DUMPED) {
		int error;

		spawn_reap(info->si_pid);
		error = next_writer();
		if (error)
			log_failure(error);
		frame_repeat_syscall(context, NULL, NULL);
	} else if (info->si_code == SI_QUEUE && info->si_errno == ABI_ORDER_PARK) {
		park(context, info);
	} else if (info->si_code == SI_QUEUE &&
		   (info->si_errno == ABI_ORDER_FREEZE || info->si_errno == ABI_ORDER_QUERY)) {
		initiate(context, info);
	} else {
		pass_on(signal, info, context);
	}
}

/* Also called by a handler of the program's that has taken our place and calls the one before it: PHP does, perhaps later, when
 * the context is gone. The kernel has us return to the function that ends a signal handler; then the context is there. */
static void on_trigger(int signal, siginfo_t *info, void *context)
{
	unsigned long all = ~0ul, mask;

	(void)signal;
	(void)info;
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	start_writer();
	if (__builtin_return_address(0) == (void *)crak_restore_rt)
		frame_repeat_syscall(context, NULL, NULL);
	else
		store(&resident.chained, 1);
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
}

/* Again after whoever else wants the signal (glibc, for setuid in threads) has taken it: then 1. */
int install_freeze_handler(void)
{
	struct kernel_sigaction ours = action_of(on_freeze_signal);
	struct kernel_sigaction now;

	if (change_action(ABI_FREEZE_SIGNAL, NULL, &now) || now.handler == ours.handler)
		return 0;
	resident.passed_on = now;
	change_action(ABI_FREEZE_SIGNAL, &ours, NULL);
	return 1;
}

/* While a program is executed (exec.c). */
void freeze_signal_ignore(struct kernel_sigaction *before)
{
	struct kernel_sigaction ignore = { .handler = (void *)SIG_IGN };

	change_action(ABI_FREEZE_SIGNAL, &ignore, before);
}

void freeze_signal_restore(const struct kernel_sigaction *before)
{
	change_action(ABI_FREEZE_SIGNAL, before, NULL);
}

void freeze_signal_handle(void)
{
	struct kernel_sigaction ours = action_of(on_freeze_signal);

	change_action(ABI_FREEZE_SIGNAL, &ours, NULL);
}

int is_our_action(const struct kernel_sigaction *action)
{
	return action->handler == (void *)on_freeze_signal || action->handler == (void *)on_trigger;
}

/* Only where nobody else has a use for the signal. */
void install_trigger(int signal)
{
	struct kernel_sigaction ours = action_of(on_trigger);
	struct kernel_sigaction now;

	if (change_action(signal, NULL, &now) || now.handler != (void *)SIG_DFL)
		return;
	if (!change_action(signal, &ours, NULL))
		resident.trigger = signal;
}

/* The signal by which kill(1) asks for a checkpoint, or 0: there is none, or the program has it for itself. */
int trigger_in_force(void)
{
	struct kernel_sigaction now;

	if (resident.trigger == 0 || change_action(resident.trigger, NULL, &now) ||
	    (!is_our_action(&now) && !load(&resident.chained)))
		return 0;
	return resident.trigger;
}
