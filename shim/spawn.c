/*
 * Starting the writer: this very file, executed (load_writer.c).
 *
 *	program --clone--> nurse --vfork, execve--> writer
 *
 * A child that executes a file gets SIGCHLD as its exit signal (de_thread in
 * the kernel's fs/exec.c), whatever it was made with, and would show in the
 * program's waitpid(-1). So the writer is the child of a nurse, which shares the
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

#define SETTINGS_MAX 8
#define WRITER_FAILED 1 /* exit status of a writer that has said why; every other but 0 is of one that has not */
#define LOADER_FAILED 127 /* exit status of the loader where it cannot load a program (ld.so(8)) */

/* One writer at a time: own.writer guards these. */
static char nurse_stack[4096] __attribute__((aligned(16)));
static char writer_stack[2048] __attribute__((aligned(16)));
static char pid_argument[12];

/* Shares the program's memory until execve: nothing but system calls. Signals stay
 * blocked; the writer's entry unblocks them. What execve says is for the nurse, which shares that memory, too. */
static int become_writer(void *error)
{
	char *argv[] = { "crak-writer", "checkpoint", pid_argument, NULL };
	struct kernel_sigaction ignore = { .handler = (void *)SIG_IGN };
	char *envp[SETTINGS_MAX + 1]; /* for its log, should it have no word with us */
	int n = 0;

	for (char *p = resident.settings; n < SETTINGS_MAX && p < resident.settings + resident.settings_length; p++) {
		envp[n++] = p;
		while (*p)
			p++;
	}
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

/* Has a descriptor table of its own, from which the program's descriptors are gone. */
static int nurse(void *unused)
{
	int null, status = 0, error = 0;
	long pid;

	(void)unused;
	SYSCALL_0(SYS_setsid); /* the terminal's ^C is for the program, not for its image */
	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	raise_limits();
	SYSCALL_1(SYS_umask, 077);
	SYSCALL_2(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE); /* Go's runtime reads the counter */
	null = SYSCALL_4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	SYSCALL_1(SYS_dup, null);
	SYSCALL_1(SYS_dup, null);
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | SIGCHLD, writer_stack + sizeof(writer_stack), become_writer,
			    &error, NULL);
	if (pid < 0)
		return 126;
	while (SYSCALL_4(SYS_wait4, pid, &status, __WALL, NULL) == -EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= WRITER_FAILED)
		return WEXITSTATUS(status);
	SYSCALL_3(SYS_close_range, 0, ~0u, 0); /* there may be no room for more */
	if (error == 0)
		error = WIFEXITED(status) && WEXITSTATUS(status) == LOADER_FAILED ? -ELIBBAD : -ECHILD;
	log_failure(error);
	return WRITER_FAILED;
}

static void decimal(char *text, int number)
{
	char digits[12];
	int n = 0;

	for (; number > 0; number /= 10)
		digits[n++] = '0' + number % 10;
	while (n > 0)
		*text++ = digits[--n];
	*text = 0;
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

/* 0, or -errno: -EBUSY while an earlier writer is at work, -EXDEV where children are born into another PID
 * namespace: the nurse would be its first process, and with its death nothing could be started there any more. Preconditions: every signal is blocked. */
int spawn_writer(void)
{
	int none = 0;
	long pid;

	if (resident.library[0] == 0)
		return -ENOENT;
	if (!is_ours())
		return -EPERM;
	if (children_live_elsewhere())
		return -EXDEV;
	spawn_reap(load(&own.writer)); /* there may have been no room to queue the signal */
	if (!__atomic_compare_exchange_n(&own.writer, &none, -1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return -EBUSY;
	decimal(pid_argument, SYSCALL_0(SYS_getpid));
	pid = crak_clone_vm(CLONE_VM | CLONE_PARENT_SETTID | ABI_FREEZE_SIGNAL, nurse_stack + sizeof(nurse_stack), nurse,
			    NULL, &own.writer);
	if (pid < 0) {
		store(&own.writer, 0);
		return pid;
	}
	return 0;
}

static int *twin_of(int pid)
{
	for (int i = 0; i < TWINS_MAX; i++)
		if (load(&own.twins[i]) == pid)
			return &own.twins[i];
	return NULL;
}

/* A child died with the freeze signal as its exit signal: a twin, or the nurse. Its PID was noted
 * before it ran. */
void spawn_reap(int pid)
{
	int status;
	int *twin;

	if (pid <= 0 || (!(twin = twin_of(pid)) && pid != load(&own.writer)))
		return;
	if (SYSCALL_4(SYS_wait4, pid, &status, WNOHANG | __WALL, NULL) != pid)
		return;
	if (twin) {
		store(twin, 0);
		return;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) > WRITER_FAILED)
		log_failure(-ECHILD); /* the nurse itself has been killed */
	store(&own.writer_status, status);
	store(&own.writer, 0);
	add(&own.writers, 1);
	futex_wake_all(&own.writers);
}
