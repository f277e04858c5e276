/*
 * Starting the writer: this very file, executed.
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
#include <sched.h>
#include <sys/wait.h>

#include "resident.h"

/* One writer at a time: resident.writer guards these. */
static char nurse_stack[4096] __attribute__((aligned(16)));
static char writer_stack[2048] __attribute__((aligned(16)));
static char pid_argument[12];

/* Shares the program's memory until execve: nothing but system calls. Signals stay
 * blocked; the writer's entry unblocks them. */
static int become_writer(void *unused)
{
	char *argv[] = { "crak-writer", "checkpoint", pid_argument, NULL };
	char *envp[] = { NULL };

	(void)unused;
	SYSCALL_3(SYS_execve, resident.library, argv, envp);
	return 127;
}

/* Has a descriptor table of its own, from which the program's descriptors are gone. */
static int nurse(void *unused)
{
	int null, status = 0;
	long pid;

	(void)unused;
	SYSCALL_0(SYS_setsid); /* the terminal's ^C is for the program, not for its image */
	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	null = SYSCALL_4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	SYSCALL_1(SYS_dup, null);
	SYSCALL_1(SYS_dup, null);
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | SIGCHLD, writer_stack + sizeof(writer_stack), become_writer,
			    NULL);
	if (pid < 0)
		return 126;
	while (SYSCALL_4(SYS_wait4, pid, &status, __WALL, NULL) == -EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
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

/* 0, or -errno: -EBUSY while an earlier writer is at work. */
int spawn_writer(void)
{
	int none = 0;
	long pid;

	if (resident.library[0] == 0)
		return -ENOENT;
	if (!__atomic_compare_exchange_n(&resident.writer, &none, -1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return -EBUSY;
	decimal(pid_argument, SYSCALL_0(SYS_getpid));
	/* Its exit signal waits until the handler is done: it is blocked here. */
	pid = crak_clone_vm(CLONE_VM | ABI_FREEZE_SIGNAL, nurse_stack + sizeof(nurse_stack), nurse, NULL);
	store(&resident.writer, pid > 0 ? pid : 0);
	return pid > 0 ? 0 : pid;
}

/* A child died with the freeze signal as its exit signal: our twin, or the nurse. */
void spawn_reap(int pid)
{
	int status;

	while (load(&resident.writer) == -1) /* another thread is between clone and store */
		SYSCALL_0(SYS_sched_yield);
	if (pid <= 0 || (pid != load(&resident.twin) && pid != load(&resident.writer)))
		return;
	if (SYSCALL_4(SYS_wait4, pid, &status, WNOHANG | __WALL, NULL) != pid)
		return;
	if (pid == load(&resident.twin)) {
		store(&resident.twin, 0);
		return;
	}
	store(&resident.writer_status, status);
	store(&resident.writer, 0);
	add(&resident.writers, 1);
	futex_wake_all(&resident.writers);
}
