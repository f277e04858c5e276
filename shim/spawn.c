/* Starting the writer: this very file, executed, as a child that the program cannot see. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#include "resident.h"

struct writer_arguments {
	char pid[12];
	char *argv[4];
	char *envp[1];
};

/* In the child, which shares our memory until execve: nothing but system calls on its own
 * descriptor table. Signals stay blocked; the writer's entry unblocks them. */
static int become_writer(void *arguments)
{
	struct writer_arguments *a = arguments;
	int null;

	SYSCALL_3(SYS_close_range, 0, ~0u, 0);
	null = SYSCALL_4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	SYSCALL_1(SYS_dup, null);
	SYSCALL_1(SYS_dup, null);
	SYSCALL_0(SYS_setsid); /* the terminal's ^C is for the program, not for its image */
	SYSCALL_3(SYS_execve, resident.library, a->argv, a->envp);
	return 127;
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

/* PID of the writer, or -errno. -EBUSY while an earlier one is at work. */
int spawn_writer(void)
{
	static char stack[4096] __attribute__((aligned(16)));
	struct writer_arguments arguments;
	int none = 0;
	long pid;

	if (resident.library[0] == 0)
		return -ENOENT;
	if (!__atomic_compare_exchange_n(&resident.writer, &none, -1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return -EBUSY;
	decimal(arguments.pid, SYSCALL_0(SYS_getpid));
	arguments.argv[0] = "crak-writer";
	arguments.argv[1] = "checkpoint";
	arguments.argv[2] = arguments.pid;
	arguments.argv[3] = NULL;
	arguments.envp[0] = NULL;
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | ABI_FREEZE_SIGNAL, stack + sizeof(stack), become_writer,
			    &arguments);
	store(&resident.writer, pid > 0 ? pid : 0);
	return pid;
}

/* A child died with the freeze signal as its exit signal: our twin, or our writer. */
void spawn_reap(int pid)
{
	int status;

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
