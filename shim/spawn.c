/*
 * Starting the writer: this very file, executed (load_writer.c).
 *
 *	program --clone--> reaper --vfork, execve--> writer
 *
 * A child that executes a file gets SIGCHLD as its exit signal (de_thread in
 * the kernel's fs/exec.c), whatever it was made with, and would show in the
 * program's waitpid(-1). So the writer is the child of a reaper, which shares the
 * program's memory, executes nothing, waits for the writer and dies with
 * the freeze signal as its exit signal; the handler reaps it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "resident.h"

#define SETTINGS_MAX 16
#define WRITER_FAILED 1 /* exit status of a writer that has said why; every other but 0 is of one that has not */
#define WRITER_GONE -1
#define LOADER_FAILED 127 /* exit status of the loader where it cannot load a program (ld.so(8)) */

/* One writer at a time: own.writer guards these. */
static char reaper_stack[4096] __attribute__((aligned(16)));
static char writer_stack[2048] __attribute__((aligned(16)));
static char pid_argument[DECIMAL_MAX];
static char secret_setting[SECRET_SETTING_MAX];

/* Shares the program's memory until execve: nothing but system calls. Signals stay
 * blocked; the writer's entry unblocks them. What execve says is for the reaper, which shares that memory, too. */
static int become_writer(void *error)
{
	char *argv[] = { "crak-writer", "checkpoint", pid_argument, NULL };
	struct kernel_sigaction ignore = { .handler = (void *)SIG_IGN };
	char *envp[SETTINGS_MAX + 2]; /* for its log, should it have no word with us */
	int n = 0;

	for (char *p = resident.settings; n < SETTINGS_MAX && p < resident.settings + resident.settings_length; p++) {
		envp[n++] = p;
		while (*p)
			p++;
	}
	if (proof_hand_down(secret_setting))
		envp[n++] = secret_setting;
	envp[n] = NULL;
	/* An image that may not grow is an error like others (EFBIG), not the end of the writer. */
	SYSCALL_4(SYS_rt_sigaction, SIGXFSZ, &ignore, NULL, sizeof(ignore.mask));
	*(volatile int *)error = SYSCALL_3(SYS_execve, resident.library, argv, envp);
	return LOADER_FAILED;
}

/* Limits that the program has set for itself are not meant for its image. */
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

/* There may be no room for another descriptor. */
static void report(int error)
{
	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	log_failure(error);
}

/* Has a descriptor table of its own, from which the program's descriptors are gone. It leaves the result in the memory that
 * it shares with the program: who reaps it, and when, makes no difference. */
static int reaper(void *argument)
{
	int *result = argument;
	int null, status = 0, error = 0;
	long pid;

	SYSCALL_0(SYS_setsid); /* the terminal's ^C is for the program, not for its image */
	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	raise_limits();
	SYSCALL_1(SYS_umask, 077);
	SYSCALL_2(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE); /* Go's runtime reads the counter */
	null = SYSCALL_4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	SYSCALL_1(SYS_dup, null);
	SYSCALL_1(SYS_dup, null);
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | SIGCHLD, writer_stack + sizeof(writer_stack), become_writer,
			    &error, NULL, NULL);
	if (pid < 0) {
		report(pid);
		return 0;
	}
	while (SYSCALL_4(SYS_wait4, pid, &status, __WALL, NULL) == -EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= WRITER_FAILED)
		store(result, WEXITSTATUS(status));
	else
		report(error ? error : WIFEXITED(status) && WEXITSTATUS(status) == LOADER_FAILED ? -ELIBBAD : -ECHILD);
	return 0;
}

/* The link of a namespace that has no process yet cannot be read. */
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

/* Where the PID of a child of ours is to be noted, or NULL. */
int *spawn_place(void)
{
	spawn_reap_all(); /* there may have been no room to queue a signal */
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (load(&own.children[i]) == 0)
			return &own.children[i];
	return NULL;
}

/* The number of the writer, or -errno: -EBUSY while an earlier writer is at work, -EXDEV where children are born into another
 * PID namespace: the reaper would be its first process, and with its death nothing could be started there any more.
 * Preconditions: every signal is blocked. */
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
	decimal_write(pid_argument, SYSCALL_0(SYS_getpid), 1);
	pid = crak_clone_vm(CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | ABI_FREEZE_SIGNAL,
			    reaper_stack + sizeof(reaper_stack), reaper, result, place, &own.writer);
	if (pid < 0) {
		store(place, 0);
		store(&own.writer, 0);
		return pid;
	}
	return number;
}

/*
 * Takes a dead reaper or twin off the kernel's list. Nothing depends on it: a program that waits for every kind of child
 * (__WALL, __WCLONE) may have taken it, and then its PID may be another child's. That one has SIGCHLD as its exit signal,
 * and is left alone.
 */
static void reap(int *place, int pid)
{
	if (SYSCALL_4(SYS_wait4, pid, NULL, WNOHANG | __WCLONE, NULL) != 0)
		__atomic_compare_exchange_n(place, &pid, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* A child died with the freeze signal as its exit signal. Its PID was noted before it ran. */
void spawn_reap(int pid)
{
	for (int i = 0; pid > 0 && i < CHILDREN_MAX; i++)
		if (load(&own.children[i]) == pid)
			reap(&own.children[i], pid);
}

/* The reaper has given up our memory, and will be dead in a moment: whoever looks at the program after a checkpoint finds it
 * as it was before. */
void spawn_settle(void)
{
	unsigned never = 0;

	for (int look = 0; look < 100 && load(&own.children[own.reaper]); look++) {
		spawn_reap_all(); /* there may have been no room to queue the signal */
		if (load(&own.children[own.reaper]))
			futex_wait(&never, 0, 1000000);
	}
}

void spawn_reap_all(void)
{
	for (int i = 0; i < CHILDREN_MAX; i++) {
		int pid = load(&own.children[i]);

		if (pid > 0)
			reap(&own.children[i], pid);
	}
}
