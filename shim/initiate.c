/*
 * The initiator: the thread that received the writer's order, as a freeze signal. It carries out the freeze.
 *
 *	connect -> CHALLENGE -> PROOF -> HELLO -> [a query ends here] -> park the siblings -> FROZEN
 *	   -> carry out the writer's requests -> resume all threads -> return to the interrupted code
 *
 * After a restart, crak_save_context returns a second time. The initiator waits until every thread is back, unmaps the
 * interpreter and resumes all threads.
 */

#include <linux/prctl.h>

#include "resident.h"

static int send_frozen(int socket)
{
	struct abi_message message = { .type = ABI_FROZEN };
	struct iovec parts[32];
	int n = 0, error;

	for (struct parked *p = own.list; p; p = p->next)
		message.count++;
	message.length = message.count * sizeof(struct abi_thread);
	parts[n++] = (struct iovec){ &message, sizeof(message) };
	for (struct parked *p = own.list; p; p = p->next) {
		if (n == sizeof(parts) / sizeof(parts[0])) {
			error = wire_write(socket, parts, n);
			if (error)
				return error;
			n = 0;
		}
		parts[n++] = (struct iovec){ &p->thread, sizeof(p->thread) };
	}
	return wire_write(socket, parts, n);
}

/* Resumes all threads. dumpable: the value before the freeze. It may be 2 (fs.suid_dumpable), which a process cannot set. 0 is as
 * strict as 2. */
static void resume(int dumpable)
{
	SYSCALL_2(SYS_prctl, PR_SET_DUMPABLE, dumpable == 1);
	park_release();
}

static void hang_up(int socket)
{
	descriptor_close(socket);
	tracer_restore();
}

/* Makes the process dumpable, so that the writer can read /proc/PID. Returns 0 if it was not. */
static int make_dumpable(void)
{
	int dumpable = SYSCALL_1(SYS_prctl, PR_GET_DUMPABLE) == 1;

	if (!dumpable)
		SYSCALL_2(SYS_prctl, PR_SET_DUMPABLE, 1);
	return dumpable;
}

/* dumpable: the value to restore. Until a thread has parked, it may give up dumpability. */
static void freeze(int socket, struct parked *self, volatile int *dumpable)
{
	struct abi_failure failure = { 0 };
	int error;

	*dumpable = make_dumpable();
	error = park_siblings(&failure);
	*dumpable &= make_dumpable();
	if (error) {
		wire_send(socket, ABI_FAILED, 1, &failure, sizeof(failure));
	} else {
		park_add(self);
		callbacks_run(CALLBACK_BEFORE);
		if (send_frozen(socket) == 0)
			serve(socket);
		callbacks_run(CALLBACK_AFTER);
	}
	hang_up(socket);
	resume(*dumpable);
}

/* Preconditions: the thread runs on its own stack again, and every mapping and descriptor is restored. */
static void restarted(const struct abi_restart *in_area, int dumpable)
{
	struct abi_restart restart = *in_area;
	unsigned back;

	while ((back = load(&own.back)) < (unsigned)restart.threads - 1)
		futex_wait(&own.back, back, 0);
	SYSCALL_2(SYS_munmap, restart.area, restart.area_length);
	store(&own.back, 0);
	for (int i = 0; i < CHILDREN_MAX; i++)
		own.children[i] = 0;
	own.writer = 0;
	proof_forget();
	own.again = 0;
	own.held_order = 0;
	descriptors_forget();
	tracer_restarted();
	resident.restarts++;
	callbacks_run(CALLBACK_RESTART);
	SYSCALL_3(SYS_write, restart.control, "", 1);
	SYSCALL_1(SYS_close, restart.control);
	resume(dumpable);
}

/* Returns 1 if the calling thread is the initiator now, 0 if another thread is, or -1 if a crak_hold is in force. In the
 * last case crak_release sends the order again. */
static int begin(uint64_t name)
{
	for (;;) {
		if (__atomic_exchange_n(&own.freezing, 1, __ATOMIC_SEQ_CST))
			return 0;
		if (load(&own.holds) <= 0)
			return 1;
		store(&own.held_order, name);
		store(&own.freezing, 0);
		if (load(&own.holds) > 0 || __atomic_exchange_n(&own.held_order, 0, __ATOMIC_SEQ_CST) != name)
			return -1;
	}
}

/* Another thread is the initiator of a freeze. This thread waits for at most a millisecond and then sends the order to
 * itself again. When the handler returns, it takes the other initiator's order to park first if there is one. */
static void postpone(const siginfo_t *info)
{
	futex_wait(&own.freezing, 1, 1000000);
	queue_freeze_signal(SYSCALL_0(SYS_gettid), info->si_errno, (uint64_t)info->si_value.sival_ptr,
			    order_blocked_syscall(info));
}

/* Returns a socket to the writer after its PROOF and the HELLO of this process, or -1. */
static int say_hello(uint64_t name, int dumpable)
{
	int socket = wire_connect(name);

	if (socket < 0)
		return -1;
	tracer_allow(wire_peer(socket));
	if (proof_demand(socket) || wire_hello(socket, dumpable)) {
		hang_up(socket);
		return -1;
	}
	return socket;
}

void initiate(ucontext_t *context, const siginfo_t *info)
{
	uint64_t name = (uint64_t)info->si_value.sival_ptr;
	struct abi_restart *restart;
	struct parked self;
	int socket = -1, begun = -1;
	volatile int dumpable; /* freeze may change it, and a restart needs it */

	if (is_ours() && (info->si_errno == ABI_ORDER_QUERY || (begun = begin(name)) > 0)) {
		dumpable = SYSCALL_1(SYS_prctl, PR_GET_DUMPABLE);
		own.members = order_members(info);
		socket = say_hello(name, dumpable);
	}
	if (socket < 0 || begun <= 0) {
		if (socket >= 0)
			hang_up(socket);
		if (begun > 0)
			store(&own.freezing, 0);
		else if (begun == 0)
			postpone(info);
		frame_repeat_syscall(context, info, NULL);
		return;
	}
	thread_note(&self, context, info);
	self.next = &self;
	self.thread.flags |= ABI_THREAD_INITIATOR;
	own.initiator = self.thread.tid;
	restart = crak_save_context(&self.context);
	if (restart)
		restarted(restart, dumpable);
	else
		freeze(socket, &self, &dumpable);
	repeat_settle(context);
	if (self.next == NULL) /* the process has no other thread (eintr_amd64.c) */
		frame_fail_with_eintr(context, &self.thread, order_blocked_syscall(info).number);
}
