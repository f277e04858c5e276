/*
 * How a reaper or a twin tells the program that it ends. The kernel sends no signal at its end (ABI_EXIT_SIGNAL). Instead, the child
 * sends an order to one thread of the program just before it ends: to the thread that made it, or to another one if that has ended.
 * The handler waits for the child. A signal to one thread wakes no other thread. If the writer has killed the twin, the writer sends
 * the order. If somebody else has killed the child, nobody does, and the next checkpoint reaps it.
 */

#include <fcntl.h>
#include <sys/mman.h>

#include "resident.h"

/* crak.ld defines them: the library's first byte, and the first one behind it. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char resident_end[] __attribute__((visibility("hidden"), weak));

#define USER_END ((1ul << 47) - 4096) /* of the user's part of the address space, as mmap(2) uses it */

/* Returns the calling thread, which is going to make a child. */
struct maker ending_maker(void)
{
	return (struct maker){ SYSCALL_0(SYS_getpid), SYSCALL_0(SYS_gettid) };
}

/* Returns 1 if /proc shows the PIDs of this process's PID namespace. */
static int proc_is_ours(void)
{
	char pid[DECIMAL_MAX];
	long n = SYSCALL_4(SYS_readlinkat, AT_FDCWD, "/proc/self", pid, sizeof(pid) - 1);
	int value;

	if (n <= 0)
		return 0;
	pid[n] = 0;
	decimal_read(pid, &value);
	return value == SYSCALL_0(SYS_getpid);
}

static int is_alive(int pid, int tid)
{
	int state = task_state(pid, tid);

	return state > 0 && state != 'Z' && state != 'X';
}

/* Returns a thread of the process that is alive, or 0. */
static int any_thread(int pid)
{
	static const char prefix[] = "/proc/";
	char buffer[512] __attribute__((aligned(8)));
	char path[sizeof(prefix) + DECIMAL_MAX + sizeof("/task")], *p = path;
	int fd, tid, alive = 0;
	long n;

	for (const char *from = prefix; *from; from++)
		*p++ = *from;
	p = decimal_write(p, pid, 1);
	__builtin_memcpy(p, "/task", sizeof("/task"));
	fd = SYSCALL_4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	while (!alive && (n = SYSCALL_3(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n && !alive; at += ((struct directory_entry *)(buffer + at))->length) {
			decimal_read(((struct directory_entry *)(buffer + at))->name, &tid);
			if (tid > 0 && is_alive(pid, tid))
				alive = tid;
		}
	}
	SYSCALL_1(SYS_close, fd);
	return alive;
}

/*
 * Sends the order. The caller ends next. The program may have executed another one meanwhile, which the signal would kill if it has no
 * handler. So the caller looks first, as the writer does (coord/order.go).
 */
void ending_report(struct maker maker)
{
	int tid = maker.tid;

	if (!proc_is_ours())
		return;
	if (!is_alive(maker.pid, tid))
		tid = any_thread(maker.pid);
	if (tid > 0 && SYSCALL_0(SYS_getppid) == maker.pid && task_handles_freeze_signal(maker.pid, tid))
		queue_order(maker.pid, tid, ABI_ORDER_REAP, SYSCALL_0(SYS_getpid), task_blocked_syscall(maker.pid, tid));
}

static void report_and_end(void *maker)
{
	struct maker copy = *(struct maker *)maker;
	unsigned long first = (unsigned long)__ehdr_start, end = (unsigned long)resident_end;

	if (end) {
		SYSCALL_3(SYS_madvise, 0, first, MADV_DONTNEED);
		SYSCALL_3(SYS_madvise, end, USER_END - end, MADV_DONTNEED);
	}
	ending_report(copy);
	for (;;)
		SYSCALL_1(SYS_exit_group, 0);
}

/* Ends a twin. It frees its memory before it sends the order, because that may take long, and the handler waits for the end. The
 * mappings stay: the kernel writes to the area of rseq(2). In the twin's copy of the memory, no reaper runs on the stack. */
void ending_report_free(struct maker maker)
{
	crak_call_on(spawn_stack + SPAWN_STACK, report_and_end, &maker);
	__builtin_unreachable();
}
