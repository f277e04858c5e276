/* crak.h: a program that takes part. */

#include <errno.h>
#include <sys/wait.h>

#include "resident.h"

#define CALLBACKS_MAX 16

static const struct crak_callbacks *registered[CALLBACKS_MAX];

EXPORT int crak_on(const struct crak_callbacks *callbacks)
{
	for (int i = 0; i < CALLBACKS_MAX; i++) {
		const struct crak_callbacks *none = NULL;

		if (__atomic_compare_exchange_n(&registered[i], &none, callbacks, 0, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return 0;
	}
	return -ENOMEM;
}

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
			function(callbacks->data);
	}
}

/*
 * Either the leader sees our mark, or we see the leader's: then we take ours back and
 * are stopped here, outside of the section. A callback, which the leader itself runs, is
 * as good as in one.
 */
EXPORT void crak_hold(void)
{
	for (;;) {
		add(&resident.holds, 1);
		if (!load(&own.freezing) || load(&own.leader) == SYSCALL_0(SYS_gettid))
			return;
		crak_release();
		futex_wait(&own.freezing, 1, 1000000);
	}
}

EXPORT void crak_release(void)
{
	uint64_t name;

	if (add(&resident.holds, -1) > 0)
		return;
	name = __atomic_exchange_n(&own.held_order, 0, __ATOMIC_SEQ_CST);
	if (name)
		queue_freeze_signal(SYSCALL_0(SYS_gettid), ABI_ORDER_FREEZE, name, (struct asleep){ .number = -1 });
}

/* No handler of the program's may run in the nurse, which begins with our mask. */
static int spawn_masked(void)
{
	unsigned long all = ~0ul, mask;
	int error;

	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	error = spawn_writer();
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	return error;
}

EXPORT int crak_checkpoint(void)
{
	unsigned restarts = resident.restarts;
	unsigned writers = load(&own.writers);
	int error = load(&own.freezing) ? -EBUSY : spawn_masked(); /* a callback would wait for itself */

	if (error)
		return error;
	while (load(&own.writers) == writers) {
		futex_wait(&own.writers, writers, 1000000000);
		spawn_reap(load(&own.writer)); /* there may have been no room to queue the signal */
	}
	if (resident.restarts != restarts)
		return 1;
	return load(&own.writer_status) == 0 ? 0 : -ECANCELED;
}
