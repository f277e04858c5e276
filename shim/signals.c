/*
 * The resident's two signal handlers. The trigger (SIGUSR2 by default) asks for a checkpoint: the resident starts a writer. The
 * freeze signal brings the writer's orders, and the end of a reaper or twin.
 */

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

/* Starts another writer if a request waits for one and the last one has ended. Returns 0 or -errno. */
static int next_writer(void)
{
	int error;

	if (load(&own.writer) != 0 || !__atomic_exchange_n(&own.again, 0, __ATOMIC_SEQ_CST))
		return 0;
	error = spawn_writer();
	return error < 0 ? error : 0;
}

/* Starts a writer. While another writer is at work, one request waits for its end; further requests are refused. */
static void start_writer(void)
{
	int error = spawn_writer();

	if (error == -EBUSY && !__atomic_exchange_n(&own.again, 1, __ATOMIC_SEQ_CST))
		error = next_writer();
	if (error < 0 && error != -EPERM) /* -EPERM: a child of vfork; its parent is the one to checkpoint */
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

/*
 * The handler of the trigger. A program may install a handler of its own later, which then calls this one. PHP does so, perhaps
 * after its own handler has returned: then `context` is not valid any more. When the kernel itself has called this
 * function, its return address is crak_restore_rt, and `context` is valid.
 */
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

/* Installs the handler of the freeze signal if another handler is installed. Returns 1 if so. glibc installs one (for setuid in
 * threads); the resident passes signals without an order on to it. */
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

/* Ignores the freeze signal while the program executes another one (exec.c). */
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

/* Installs the handler of the trigger, but only if the signal has its default action. */
void install_trigger(int signal)
{
	struct kernel_sigaction ours = action_of(on_trigger);
	struct kernel_sigaction now;

	if (change_action(signal, NULL, &now) || now.handler != (void *)SIG_DFL)
		return;
	if (!change_action(signal, &ours, NULL))
		resident.trigger = signal;
}

/* Returns the signal that asks for a checkpoint, or 0 if there is none or the program has installed its own handler. */
int trigger_in_force(void)
{
	struct kernel_sigaction now;

	if (resident.trigger == 0 || change_action(resident.trigger, NULL, &now) ||
	    (!is_our_action(&now) && !load(&resident.chained)))
		return 0;
	return resident.trigger;
}
