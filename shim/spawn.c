/*
 * Starts the writer. The writer is libcrak.so itself, executed (load_writer.c).
 *
 *	program --clone--> reaper --vfork, execve--> writer
 *
 * The program must not see a child of CRAK in its waitpid(-1). The kernel sets a child's exit signal to SIGCHLD when the
 * child executes a file (de_thread in fs/exec.c), so the writer cannot be a child of the program. It is a child of the
 * reaper. The reaper shares the program's memory, executes no file and waits for the writer. It tells the program when it ends
 * (ending.c).
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "resident.h"

#define SETTINGS_MAX 16
#define PLACE_TAKEN -1	  /* in own.children: the child is about to be made */
#define WRITER_FAILED 1	  /* exit status of a writer that has logged the reason; any other than 0: it has logged nothing */
#define WRITER_GONE -1	  /* result of a writer that has ended without an exit status of its own */
#define LOADER_FAILED 127 /* exit status of the dynamic loader if it cannot load a program (ld.so(8)) */

/* Used by one writer at a time: own.writer guards them. */
char spawn_stack[SPAWN_STACK] __attribute__((aligned(16)));
static char writer_stack[2048] __attribute__((aligned(16)));
static char pid_argument[DECIMAL_MAX];
static char secret_setting[SECRET_SETTING_MAX];
static struct maker maker; /* of the reaper */

/* Runs in the child that becomes the writer. It shares the program's memory until execve, so it makes only system calls.
 * Signals stay blocked; load_writer unblocks them. If execve fails, the error is left for the reaper in shared memory. */
static int become_writer(void *error)
{
	char *argv[] = { "crak-writer", "checkpoint", pid_argument, NULL };
	struct kernel_sigaction ignore = { .handler = (void *)SIG_IGN };
	char *envp[SETTINGS_MAX + 2]; /* HELLO has the settings too; the writer needs them for its log if HELLO never comes */
	int n = 0;

	for (char *p = resident.settings; n < SETTINGS_MAX && p < resident.settings + resident.settings_length; p++) {
		envp[n++] = p;
		while (*p)
			p++;
	}
	if (proof_setting(secret_setting))
		envp[n++] = secret_setting;
	envp[n] = NULL;
	/* With SIGXFSZ ignored, a write beyond RLIMIT_FSIZE fails with EFBIG. Otherwise it would kill the writer. */
	SYSCALL_4(SYS_rt_sigaction, SIGXFSZ, &ignore, NULL, sizeof(ignore.mask));
	*(volatile int *)error = SYSCALL_3(SYS_execve, resident.library, argv, envp);
	return LOADER_FAILED;
}

/* The soft limits that the program has set are not meant for the writer. */
static void raise_limits(void)
{
	static const int limits[] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_CPU };
	struct rlimit64 limit;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (SYSCALL_4(SYS_prlimit64, 0, limits[i], NULL, &limit))
			continue;
		limit.rlim_cur = limit.rlim_max;
		SYSCALL_4(SYS_prlimit64, 0, limits[i], &limit, NULL);
	}
}

/* Closes all descriptors first, because the limit may allow no other one for the log. */
static void report(int error)
{
	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	log_failure(error);
}

/* Runs in the reaper. The reaper has a descriptor table of its own and closes the program's descriptors there. It stores the
 * writer's result in the memory that it shares with the program, so it does not matter who reaps it, or when. */
static int reaper(void *argument)
{
	int *result = argument;
	int null, status = 0, error = 0;
	long pid;

	SYSCALL_0(SYS_setsid); /* otherwise ^C at the terminal would kill the writer */
	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	raise_limits();
	SYSCALL_1(SYS_umask, 077);
	SYSCALL_2(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE); /* Go's runtime reads the time stamp counter */
	null = SYSCALL_4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	SYSCALL_1(SYS_dup, null);
	SYSCALL_1(SYS_dup, null);
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | SIGCHLD, writer_stack + sizeof(writer_stack), become_writer,
			    &error, NULL, NULL);
	if (pid < 0) {
		report(pid);
		ending_report(maker);
		return 0;
	}
	while (SYSCALL_4(SYS_wait4, pid, &status, __WALL, NULL) == -EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= WRITER_FAILED)
		store(result, WEXITSTATUS(status));
	else
		report(error ? error : WIFEXITED(status) && WEXITSTATUS(status) == LOADER_FAILED ? -ELIBBAD : -ECHILD);
	ending_report(maker);
	return 0;
}

/* Returns 1 if the program's children are created in another PID namespace (unshare(2), CLONE_NEWPID). The link
 * pid_for_children cannot be read as long as that namespace has no process. */
static int children_live_elsewhere(void)
{
	char ours[64], theirs[64];
	long n = SYSCALL_4(SYS_readlinkat, AT_FDCWD, "/proc/thread-self/ns/pid", ours, sizeof(ours));
	long m = SYSCALL_4(SYS_readlinkat, AT_FDCWD, "/proc/thread-self/ns/pid_for_children", theirs, sizeof(theirs));

	if (n <= 0)
		return 0;
	for (long i = 0; m == n && i < n; i++)
		if (ours[i] != theirs[i])
			return 1;
	return m != n;
}

/* Returns an entry of own.children for the PID of a child, or NULL. If no child is made after all, the caller sets
 * the entry to 0. */
int *spawn_place(void)
{
	spawn_reap_all(); /* no order to reap comes if somebody kills the child, or the kernel cannot queue the signal */
	for (int i = 0; i < CHILDREN_MAX; i++) {
		int free = 0;

		if (!__atomic_compare_exchange_n(&own.children[i], &free, PLACE_TAKEN, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			continue;
		add(&own.made, 1); /* after that: a wait looks at the count first, and then at the entries (wait.c) */
		return &own.children[i];
	}
	return NULL;
}

/*
 * Starts a writer. Returns its number or -errno:
 *	-ENOENT	the path of libcrak.so is unknown
 *	-EBUSY	an earlier writer is at work
 *	-EXDEV	the program's children are created in another PID namespace. The reaper would be that namespace's first
 *		process, and after its end the kernel would start no other process there.
 *	-EPERM	the caller is a child of vfork
 *	-EAGAIN	there is no free entry in own.children, or no process can be created
 *
 * Preconditions: every signal is blocked.
 */
int spawn_writer(void)
{
	unsigned none = 0;
	int *place, *result, number;
	long pid;

	if (resident.library[0] == 0)
		return -ENOENT;
	if (!is_ours())
		return -EPERM;
	if (children_live_elsewhere())
		return -EXDEV;
	if (!__atomic_compare_exchange_n(&own.writer, &none, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return -EBUSY;
	place = spawn_place();
	if (!place) {
		store(&own.writer, 0);
		return -EAGAIN;
	}
	number = add(&own.writers, 1) & 0x7fffffff;
	own.reaper = place - own.children;
	result = &own.results[number % RESULTS_MAX];
	store(result, WRITER_GONE);
	maker = ending_maker();
	decimal_write(pid_argument, SYSCALL_0(SYS_getpid), 1);
	pid = crak_clone_vm(CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | ABI_EXIT_SIGNAL,
			    spawn_stack + sizeof(spawn_stack), reaper, result, place, &own.writer);
	if (pid < 0) {
		store(place, 0);
		store(&own.writer, 0);
		return pid;
	}
	return number;
}

/*
 * Reaps a dead reaper or twin. A program that waits for every kind of child (__WALL, __WCLONE) may have reaped it already.
 * Its PID may then belong to another child of the program. __WCLONE does not match that child, whose exit signal is SIGCHLD.
 */
static void reap(int *place, int pid)
{
	if (SYSCALL_4(SYS_wait4, pid, NULL, WNOHANG | __WCLONE, NULL) != 0)
		__atomic_compare_exchange_n(place, &pid, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Reaps a reaper or twin if it has ended. The kernel stored its PID in own.children before it ran. */
void spawn_reap(int pid)
{
	for (int i = 0; pid > 0 && i < CHILDREN_MAX; i++)
		if (load(&own.children[i]) == pid)
			reap(&own.children[i], pid);
}

/* Waits until a reaper or twin that is about to end is reaped, for at most a tenth of a second: somebody may have stopped it. No
 * descriptor is opened for this wait: another thread may close all descriptors. */
void spawn_settle_child(int pid)
{
	unsigned never = 0;

	spawn_reap(pid);
	for (long pause = 20000, waited = 0; waited < 100000000 && spawn_is_noted(pid); waited += pause, pause += pause / 2) {
		futex_wait(&never, 0, pause);
		spawn_reap(pid);
	}
}

/* Waits for the reaper. The kernel clears own.writer a little before the reaper's end. After a checkpoint the program should have the
 * same children as before. */
void spawn_settle(void)
{
	spawn_settle_child(load(&own.children[own.reaper]));
}

void spawn_reap_all(void)
{
	for (int i = 0; i < CHILDREN_MAX; i++) {
		int pid = load(&own.children[i]);

		if (pid > 0)
			reap(&own.children[i], pid);
	}
}

/* Returns 1 while a child is being made whose PID is not in own.children yet. */
int spawn_is_making(void)
{
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (load(&own.children[i]) == PLACE_TAKEN)
			return 1;
	return 0;
}

/* Returns 1 if the PID is in own.children. The function only reads: a child that shares the program's memory may call it, too. */
int spawn_is_noted(int pid)
{
	for (int i = 0; pid > 0 && i < CHILDREN_MAX; i++)
		if (load(&own.children[i]) == pid)
			return 1;
	return 0;
}

/* Returns 1 if the process is a reaper or a twin that has not been reaped. If the program has reaped it, its PID is first removed
 * from own.children: another child may have that PID now. */
int spawn_has(int pid)
{
	spawn_reap(pid);
	return spawn_is_noted(pid);
}

/* Returns 1 if the process has a reaper or a twin, or is making one. */
int spawn_has_any(void)
{
	spawn_reap_all();
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (load(&own.children[i]))
			return 1;
	return 0;
}

/* Waits for the change of state of a reaper or twin: it has ended, was stopped, or was continued. */
void spawn_take(int pid)
{
	SYSCALL_4(SYS_wait4, pid, NULL, WNOHANG | __WCLONE | WUNTRACED | WCONTINUED, NULL);
	spawn_reap(pid);
}

/* Waits for the end of a reaper or twin that is about to end. */
void spawn_await(int pid)
{
	while (SYSCALL_4(SYS_wait4, pid, NULL, __WCLONE, NULL) == -EINTR)
		;
	spawn_reap(pid);
}
