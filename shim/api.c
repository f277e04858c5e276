/* The functions of crak.h, for programs that take part in their own checkpoints. */

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "resident.h"

#define CALLBACKS_MAX 16
#define CALLBACK_STACK (256 << 10) /* crak.h promises it */
#define GUARD 4096

static const struct crak_callbacks *registered[CALLBACKS_MAX];
static char *callback_stack; /* its upper end; NULL before the first crak_on */

/* Maps the stack that callbacks run on, with a guard page below. Returns 0 or -ENOMEM. */
static int make_callback_stack(void)
{
	char *none = NULL;
	long area;

	if (load(&callback_stack))
		return 0;
	area = SYSCALL_6(SYS_mmap, NULL, GUARD + CALLBACK_STACK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (area < 0 && area > -4096)
		return -ENOMEM;
	SYSCALL_3(SYS_mprotect, area, GUARD, PROT_NONE);
	if (!__atomic_compare_exchange_n(&callback_stack, &none, (char *)area + GUARD + CALLBACK_STACK, 0,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		SYSCALL_2(SYS_munmap, area, GUARD + CALLBACK_STACK); /* another thread has made one */
	return 0;
}

EXPORT int crak_on(const struct crak_callbacks *callbacks)
{
	if (make_callback_stack())
		return -ENOMEM;
	for (int i = 0; i < CALLBACKS_MAX; i++) {
		const struct crak_callbacks *none = NULL;

		if (__atomic_compare_exchange_n(&registered[i], &none, callbacks, 0, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return 0;
	}
	return -ENOMEM;
}

/* Preconditions: the caller is the initiator of a freeze. So no other thread runs on that stack. */
void callbacks_run(enum callback which)
{
	for (int i = 0; i < CALLBACKS_MAX; i++) {
		const struct crak_callbacks *callbacks = load(&registered[i]);
		void (*function)(void *);

		if (!callbacks)
			return;
		function = which == CALLBACK_BEFORE ? callbacks->before :
			   which == CALLBACK_AFTER  ? callbacks->after :
						      callbacks->restart;
		if (function)
			crak_call_on(callback_stack, function, callbacks->data);
	}
}

/* The number of holds of this thread. A child that it forks begins with these. */
static __thread int held __attribute__((tls_model("initial-exec")));

/* Runs in a forked child, where `own` is empty. The child has only the thread that called fork, so only its holds count. */
void holds_forked(void)
{
	store(&own.holds, held);
}

/* Ends a hold. Returns how many are left. */
static int drop_hold(void)
{
	int holds = load(&own.holds);

	if (held > 0)
		held--;
	while (holds > 0 &&
	       !__atomic_compare_exchange_n(&own.holds, &holds, holds - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	return holds - 1;
}

/*
 * This thread increments own.holds before it reads own.freezing. The initiator sets own.freezing before it reads own.holds.
 * So at least one of them sees the other. If this thread sees a freeze, it takes the hold back and waits until the freeze
 * is over. A callback runs in the initiator itself, so a hold in a callback does not wait.
 */
EXPORT void crak_hold(void)
{
	for (;;) {
		held++;
		add(&own.holds, 1);
		if (!load(&own.freezing) || load(&own.initiator) == SYSCALL_0(SYS_gettid))
			return;
		crak_release();
		futex_wait(&own.freezing, 1, 1000000);
	}
}

EXPORT void crak_release(void)
{
	uint64_t name;

	if (drop_hold() > 0)
		return;
	name = __atomic_exchange_n(&own.held_order, 0, __ATOMIC_SEQ_CST);
	if (name)
		queue_freeze_signal(SYSCALL_0(SYS_gettid), ABI_ORDER_FREEZE, name, (struct blocked_syscall){ .number = -1 });
}

/* Starts a writer with every signal blocked. The reaper inherits the signal mask, and must not run the program's handlers. */
static int spawn_masked(void)
{
	unsigned long all = ~0ul, mask;
	int writer;

	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	writer = spawn_writer();
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	return writer;
}

EXPORT int crak_checkpoint(void)
{
	unsigned restarts = resident.restarts;
	int writer = load(&own.freezing) ? -EBUSY : spawn_masked(); /* a callback would wait for the checkpoint that runs it */

	if (writer < 0)
		return writer;
	while (load(&own.writer) && (load(&own.writers) & 0x7fffffff) == (unsigned)writer)
		futex_wait_for_kernel(&own.writer, 1, 1000000000);
	spawn_settle();
	if (resident.restarts != restarts)
		return 1;
	return load(&own.results[writer % RESULTS_MAX]) == 0 ? 0 : -ECANCELED;
}
