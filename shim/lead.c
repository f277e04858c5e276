/*
 * The leader: the thread that an order from the writer reached.
 *
 *	connect -> HELLO -> [QUERY: done] -> park the siblings -> FROZEN
 *	   -> serve orders -> resume everyone -> return to what it did
 *
 * A restart comes back out of crak_save_context, waits until every thread is
 * back, removes the interpreter and resumes everyone.
 */

#include <linux/prctl.h>

#include "resident.h"

static void send_frozen(int socket)
{
	struct abi_message message = { .type = ABI_FROZEN };
	struct iovec parts[32];
	int n = 0;

	for (struct parked *p = park_list(); p; p = p->next)
		message.count++;
	message.length = message.count * sizeof(struct abi_thread);
	parts[n++] = (struct iovec){ &message, sizeof(message) };
	for (struct parked *p = park_list(); p; p = p->next) {
		if (n == sizeof(parts) / sizeof(parts[0])) {
			if (wire_write(socket, parts, n))
				return;
			n = 0;
		}
		parts[n++] = (struct iovec){ &p->thread, sizeof(p->thread) };
	}
	wire_write(socket, parts, n);
}

static void resume(int dumpable)
{
	park_forget();
	SYSCALL_2(SYS_prctl, PR_SET_DUMPABLE, dumpable);
	store(&resident.freezing, 0);
	park_release();
}

/* While frozen the writer may read us, whatever the program thinks of being dumped. */
static void freeze(int socket, struct parked *self, int dumpable)
{
	struct abi_failure failure = { 0 };

	SYSCALL_2(SYS_prctl, PR_SET_DUMPABLE, 1);
	if (park_siblings(&failure)) {
		wire_send(socket, ABI_FAILED, 1, &failure, sizeof(failure));
	} else {
		park_add(self);
		callbacks_run(CALLBACK_BEFORE);
		send_frozen(socket);
		serve(socket);
		callbacks_run(CALLBACK_AFTER);
	}
	SYSCALL_1(SYS_close, socket);
	resume(dumpable);
}

/* Preconditions: on our own stack again, every mapping and descriptor in its place. */
static void come_back(const struct abi_restart *in_area, int dumpable)
{
	struct abi_restart restart = *in_area;
	unsigned back;

	while ((back = load(&resident.back)) < (unsigned)restart.threads - 1)
		futex_wait(&resident.back, back, 0);
	SYSCALL_2(SYS_munmap, restart.area, restart.area_length);
	store(&resident.back, 0);
	resident.twin = 0;
	resident.writer = 0;
	resident.restarts++;
	add(&resident.writers, 1); /* whoever waits in crak_checkpoint */
	callbacks_run(CALLBACK_RESTART);
	SYSCALL_3(SYS_write, restart.control, "", 1);
	SYSCALL_1(SYS_close, restart.control);
	resume(dumpable);
}

/* 1 when a crak_hold is in force: crak_release will send the order again. */
static int is_held(uint64_t name)
{
	if (load(&resident.holds) == 0)
		return 0;
	store(&resident.held_order, name);
	if (load(&resident.holds) != 0)
		return 1;
	return __atomic_exchange_n(&resident.held_order, 0, __ATOMIC_SEQ_CST) != name;
}

void lead(ucontext_t *context, const siginfo_t *info)
{
	uint64_t name = (uint64_t)info->si_value.sival_ptr;
	struct abi_restart *restart;
	struct parked self;
	int socket, dumpable;

	if (info->si_errno == ABI_ORDER_FREEZE && is_held(name)) {
		frame_repeat_syscall(context, info, NULL);
		return;
	}
	socket = wire_connect(name);
	if (socket < 0) {
		frame_repeat_syscall(context, info, NULL);
		return;
	}
	dumpable = SYSCALL_1(SYS_prctl, PR_GET_DUMPABLE);
	if (wire_hello(socket, dumpable) || info->si_errno == ABI_ORDER_QUERY ||
	    __atomic_exchange_n(&resident.freezing, 1, __ATOMIC_SEQ_CST)) {
		SYSCALL_1(SYS_close, socket);
		frame_repeat_syscall(context, info, NULL);
		return;
	}
	thread_note(&self, context, info);
	self.thread.flags = ABI_THREAD_LEADER;
	restart = crak_save_context(&self.context);
	if (restart)
		come_back(restart, dumpable);
	else
		freeze(socket, &self, dumpable);
}
