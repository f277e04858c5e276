/*
 * The initiator: the thread that an order from the writer reached.
 *
 *	connect -> CHALLENGE -> PROOF -> HELLO -> [QUERY: done] -> park the siblings -> FROZEN
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

	for (struct parked *p = own.list; p; p = p->next)
		message.count++;
	message.length = message.count * sizeof(struct abi_thread);
	parts[n++] = (struct iovec){ &message, sizeof(message) };
	for (struct parked *p = own.list; p; p = p->next) {
		if (n == sizeof(parts) / sizeof(parts[0])) {
			if (wire_write(socket, parts, n))
				return;
			n = 0;
		}
		parts[n++] = (struct iovec){ &p->thread, sizeof(p->thread) };
	}
	wire_write(socket, parts, n);
}

/* A process can get rid of its dumpable 2 (fs.suid_dumpable), but not take it back; 0 is as strict. */
static void resume(int dumpable)
{
	SYSCALL_2(SYS_prctl, PR_SET_DUMPABLE, dumpable == 1);
	park_release();
}

static void hang_up(int socket)
{
	SYSCALL_1(SYS_close, socket);
	tracer_dismiss();
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
	hang_up(socket);
	resume(dumpable);
}

/* Preconditions: on our own stack again, every mapping and descriptor in its place. */
static void come_back(const struct abi_restart *in_area, int dumpable)
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
	tracer_come_back();
	resident.restarts++;
	callbacks_run(CALLBACK_RESTART);
	SYSCALL_3(SYS_write, restart.control, "", 1);
	SYSCALL_1(SYS_close, restart.control);
	resume(dumpable);
}

/* 1 when the freeze is ours; 0 when another thread leads one; -1 when a crak_hold is in force: crak_release
 * will send the order again. */
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

/* Another thread leads a freeze: the order comes again when that is over. Until then the thread takes the order to park
 * that is meant for it. */
static void postpone(const siginfo_t *info)
{
	futex_wait(&own.freezing, 1, 1000000);
	queue_freeze_signal(SYSCALL_0(SYS_gettid), info->si_errno, (uint64_t)info->si_value.sival_ptr,
			    order_blocked_syscall(info));
}

/* The socket to a writer that may command us, greeted, or -1. */
static int greet(uint64_t name, int dumpable)
{
	int socket = wire_connect(name);

	if (socket < 0)
		return -1;
	tracer_admit(wire_peer(socket));
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
	int socket = -1, dumpable, begun = -1;

	if (is_ours() && (info->si_errno == ABI_ORDER_QUERY || (begun = begin(name)) > 0)) {
		dumpable = SYSCALL_1(SYS_prctl, PR_GET_DUMPABLE);
		socket = greet(name, dumpable);
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
		come_back(restart, dumpable);
	else
		freeze(socket, &self, dumpable);
	repeat_settle(context);
	if (self.next == NULL) /* there are no siblings: the list ends with us */
		frame_fail_with_eintr(context, &self.thread, order_blocked_syscall(info).number);
}
