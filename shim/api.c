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

EXPORT void crak_hold(void)
{
	add(&resident.holds, 1);
}

EXPORT void crak_release(void)
{
	uint64_t name;

	if (add(&resident.holds, -1) > 0)
		return;
	name = __atomic_exchange_n(&resident.held_order, 0, __ATOMIC_SEQ_CST);
	if (name)
		queue_freeze_signal(SYSCALL_0(SYS_gettid), ABI_ORDER_FREEZE, name, -1, 0);
}

EXPORT int crak_checkpoint(void)
{
	unsigned restarts = resident.restarts;
	unsigned writers = load(&resident.writers);
	int error = spawn_writer();

	if (error)
		return error;
	while (load(&resident.writers) == writers)
		futex_wait(&resident.writers, writers, 0);
	if (resident.restarts != restarts)
		return 1;
	return load(&resident.writer_status) == 0 ? 0 : -ECANCELED;
}
