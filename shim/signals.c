/*
 * The resident's two signal handlers. The trigger (SIGUSR2 by default) asks for a checkpoint: the resident starts a writer. The
 * freeze signal brings orders.
 */

#include <errno.h>
#include <linux/futex.h>

#include "resident.h"

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/* The entries of the handlers (stack_amd64.S). They call handle_freeze_signal and handle_trigger on a stack of the resident. */
extern void crak_on_freeze_signal(int, siginfo_t *, void *) __attribute__((visibility("hidden")));
extern void crak_on_trigger(int, siginfo_t *, void *) __attribute__((visibility("hidden")));
void *handle_freeze_signal(int, siginfo_t *, void *);
void *handle_trigger(int, siginfo_t *, void *);

extern void crak_restore_rt(void) __attribute__((visibility("hidden")));

static long change_action(int signal, const struct kernel_sigaction *new, struct kernel_sigaction *old)
{
	return SYSCALL_4(SYS_rt_sigaction, signal, new, old, sizeof(old->mask));
}

static struct kernel_sigaction action_of(void (*handler)(int, siginfo_t *, void *))
{
	return (struct kernel_sigaction){
		.handler = (void *)handler,
		.flags = SA_SIGINFO | SA_RESTART | SA_RESTORER | (load(&resident.on_current_stack) ? 0 : SA_ONSTACK),
		.restorer = (void *)crak_restore_rt,
		.mask = ~0ul,
	};
}

/* The handler that was installed before the resident's (glibc's), or NULL. */
static void *passed_on(void)
{
	void *handler = resident.passed_on.handler;

	return handler == (void *)SIG_DFL || handler == (void *)SIG_IGN ? NULL : handler;
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

/* Carries out an order to reap. The reaper's own order comes a moment before its end. */
static void reap(int pid)
{
	int error;

	spawn_settle_child(pid);
	spawn_reap_all();
	error = next_writer();
	if (error)
		log_failure(error);
}

/*
 * Puts the program's mask into the frame, in place of the mask with which a tracer has let this thread into the handler (struct
 * abi_admission). The first comparison saves other threads a system call.
 */
static void take_mask(ucontext_t *context)
{
	const uint64_t unblockable = 1ul << (SIGKILL - 1) | 1ul << (SIGSTOP - 1);
	uint64_t mask;

	__builtin_memcpy(&mask, &context->uc_sigmask, sizeof(mask));
	if ((mask | unblockable) != ~(1ul << (ABI_FREEZE_SIGNAL - 1)) || load(&own.admission.tid) != SYSCALL_0(SYS_gettid))
		return;
	__builtin_memcpy(&context->uc_sigmask, &own.admission.mask, sizeof(mask));
	store(&own.admission.tid, 0);
}

/* The handler of the freeze signal. Returns NULL, or another handler, which is then called with the same arguments on the
 * program's stack. Preconditions: every signal is blocked. */
void *handle_freeze_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	take_mask(context);
	if (info->si_code == SI_QUEUE && info->si_errno == ABI_ORDER_REAP) {
		reap(info->si_value.sival_int);
		frame_repeat_syscall(context, info, NULL);
	} else if (info->si_code == SI_QUEUE && info->si_errno == ABI_ORDER_PARK) {
		park(context, info);
	} else if (info->si_code == SI_QUEUE &&
		   (info->si_errno == ABI_ORDER_FREEZE || info->si_errno == ABI_ORDER_QUERY)) {
		initiate(context, info);
	} else {
		return passed_on();
	}
	return NULL;
}

/* The handler of the trigger. context: NULL if a handler of the program has called it. Preconditions: every signal is blocked. */
void *handle_trigger(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	start_writer();
	if (context)
		frame_repeat_syscall(context, NULL, NULL);
	else
		store(&resident.chained, 1);
	return NULL;
}

/* Installs the handler of the freeze signal if another handler is installed. Returns 1 if so. glibc installs one (for setuid in
 * threads); the resident passes signals without an order on to it. */
int install_freeze_handler(void)
{
	struct kernel_sigaction ours = action_of(crak_on_freeze_signal);
	struct kernel_sigaction now;

	if (change_action(ABI_FREEZE_SIGNAL, NULL, &now) || now.handler == ours.handler)
		return 0;
	resident.passed_on = now;
	change_action(ABI_FREEZE_SIGNAL, &ours, NULL);
	return 1;
}

/*
 * Runs in a forked child. The parent's handler may have been glibc's at that moment: a new thread can fork before the resident has
 * installed its handler again (pthread.c). Or the parent ignored the signal, because another thread was executing a program.
 */
void freeze_signal_forked(void)
{
	struct kernel_sigaction now;

	if (change_action(ABI_FREEZE_SIGNAL, NULL, &now))
		return;
	if (now.handler == (void *)SIG_IGN)
		freeze_signal_handle();
	else
		install_freeze_handler();
}

/* Ignores the freeze signal while the program executes another one (exec.c). */
void freeze_signal_ignore(struct kernel_sigaction *before)
{
	struct kernel_sigaction ignore = { .handler = (void *)SIG_IGN };

	change_action(ABI_FREEZE_SIGNAL, &ignore, before);
}

void freeze_signal_restore(const struct kernel_sigaction *before)
{
	struct kernel_sigaction ours = action_of(crak_on_freeze_signal);

	/* Meanwhile another thread may have called handle_on_current_stack. */
	change_action(ABI_FREEZE_SIGNAL, before->handler == ours.handler ? &ours : before, NULL);
}

void freeze_signal_handle(void)
{
	struct kernel_sigaction ours = action_of(crak_on_freeze_signal);

	change_action(ABI_FREEZE_SIGNAL, &ours, NULL);
}

static void install_again(int signal, void (*handler)(int, siginfo_t *, void *))
{
	struct kernel_sigaction ours = action_of(handler);
	struct kernel_sigaction now;

	if (!change_action(signal, NULL, &now) && now.handler == ours.handler)
		change_action(signal, &ours, NULL);
}

/* From now on the handlers run on the stack on which the thread runs, not on its alternate stack. */
void handle_on_current_stack(void)
{
	if (__atomic_exchange_n(&resident.on_current_stack, 1, __ATOMIC_SEQ_CST))
		return;
	install_again(ABI_FREEZE_SIGNAL, crak_on_freeze_signal);
	if (resident.trigger)
		install_again(resident.trigger, crak_on_trigger);
}

int is_our_action(const struct kernel_sigaction *action)
{
	return action->handler == (void *)crak_on_freeze_signal || action->handler == (void *)crak_on_trigger;
}

/* Installs the handler of the trigger, but only if the signal has its default action. */
void install_trigger(int signal)
{
	struct kernel_sigaction ours = action_of(crak_on_trigger);
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
