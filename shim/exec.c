/*
 * Interposes the functions by which a program executes another one.
 *
 * A newly executed program has no handler for the freeze signal until the resident's constructor has run, and never if
 * libcrak.so is not preloaded. The signal would kill that program. So a process ignores the signal while it executes a
 * program. An ignored signal stays ignored across execve(2). The kernel drops an order that comes meanwhile, and the writer
 * sends it again (coord/order.go). Then the constructor installs the handler. The children of glibc's posix_spawn, system and
 * popen ignore the signal in the same way.
 *
 * These functions also run after fork in a process with several threads, after vfork, and in signal handlers. So they make only
 * system calls, and the functions that they call are looked up beforehand (next.c).
 */

#include <alloca.h>
#include <stdarg.h>
#include <unistd.h>

#include "resident.h"

#define WAIT_BOUND 1000 /* milliseconds */

static struct {
	int (*execve)(const char *, char *const *, char *const *);
	int (*execv)(const char *, char *const *);
	int (*execvp)(const char *, char *const *);
	int (*execvpe)(const char *, char *const *, char *const *);
	int (*fexecve)(int, char *const *, char *const *);
	int (*execveat)(int, const char *, char *const *, char *const *, int);
} next;

/* Preconditions: the process has one thread, or this was called when it had. */
void exec_prepare(void)
{
	if (load(&next.execve))
		return;
	next.execv = next_function("execv");
	next.execvp = next_function("execvp");
	next.execvpe = next_function("execvpe");
	next.fexecve = next_function("fexecve");
	next.execveat = next_function("execveat"); /* not in glibc before 2.34 */
	store(&next.execve, next_function("execve"));
}

struct attempt {
	struct kernel_sigaction action; /* of the freeze signal, before the attempt */
	int locked;			/* 1: exec_unlock must be called */
};

/*
 * Lets only one thread execute a program at a time. Returns 1 if the caller must call exec_unlock.
 *
 * If two threads did so at once and one of them failed, that one would install the handler again while the other one enters a
 * new program. (The kernel, too, lets the threads of a process execute programs only one after the other.) A signal handler
 * may interrupt an attempt and execute a program itself, in the same thread: it does not wait. A signal handler may also leave
 * an attempt by longjmp, and the lock is then never released: so the wait is bounded.
 */
int exec_lock(void)
{
	int self = SYSCALL_0(SYS_gettid);

	for (int i = 0; i < WAIT_BOUND; i++) {
		int holder = 0;

		if (__atomic_compare_exchange_n(&own.executing, &holder, self, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return 1;
		if (holder == self)
			return 0;
		futex_wait((unsigned *)&own.executing, holder, 1000000);
	}
	return 0;
}

void exec_unlock(void)
{
	store(&own.executing, 0);
	futex_wake_all((unsigned *)&own.executing);
}

/* A child of vfork does not lock: `own` belongs to its parent. Its signal actions are its own. */
static void begin(struct attempt *attempt)
{
	exec_prepare();
	attempt->locked = is_ours() && exec_lock();
	for (int i = 0; attempt->locked && i < WAIT_BOUND && load(&own.setxids) > 0; i++)
		futex_wait(&own.setxids, load(&own.setxids), 1000000); /* these threads need the signal (setxid.c) */
	/* The initiator is about to send this thread an order to park, and other threads may have one that they have not taken yet. */
	for (int i = 0; attempt->locked && i < WAIT_BOUND && load(&own.freezing) && load(&own.initiator) != SYSCALL_0(SYS_gettid); i++)
		futex_wait(&own.freezing, 1, 1000000);
	freeze_signal_ignore(&attempt->action);
}

static int failed(const struct attempt *attempt, int result)
{
	freeze_signal_restore(&attempt->action);
	if (attempt->locked)
		exec_unlock();
	return result;
}

#define ATTEMPT(function, ...)                                         \
	({                                                             \
		struct attempt attempt;                                \
		begin(&attempt);                                       \
		failed(&attempt, function(__VA_ARGS__)); /* if it returns at all */ \
	})

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	return ATTEMPT(next.execve, path, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
	return ATTEMPT(next.execv, path, argv);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return ATTEMPT(next.execvp, file, argv);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return ATTEMPT(next.execvpe, file, argv, envp);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	return ATTEMPT(next.fexecve, fd, argv, envp);
}

EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct attempt attempt;

	begin(&attempt);
	if (next.execveat)
		return failed(&attempt, next.execveat(fd, path, argv, envp, flags));
	return failed(&attempt, syscall(SYS_execveat, fd, path, argv, envp, flags));
}

/* Collects the arguments from `first` up to the NULL in an array on the caller's stack. */
#define COLLECT(list, first)                                    \
	({                                                      \
		size_t n = 2; /* the first, and the NULL */     \
		char **argv;                                    \
		va_start(list, first);                          \
		while (va_arg(list, char *))                    \
			n++;                                    \
		va_end(list);                                   \
		argv = alloca(n * sizeof(argv[0]));             \
		argv[0] = (char *)first;                        \
		va_start(list, first);                          \
		for (size_t i = 1; i < n; i++)                  \
			argv[i] = va_arg(list, char *);         \
		argv;                                           \
	})

EXPORT int execl(const char *path, const char *argument, ...)
{
	va_list list;
	char **argv = COLLECT(list, argument);

	va_end(list);
	return execv(path, argv);
}

EXPORT int execlp(const char *file, const char *argument, ...)
{
	va_list list;
	char **argv = COLLECT(list, argument);

	va_end(list);
	return execvp(file, argv);
}

EXPORT int execle(const char *path, const char *argument, ...)
{
	va_list list;
	char **argv = COLLECT(list, argument);
	char **envp = va_arg(list, char **);

	va_end(list);
	return execve(path, argv, envp);
}
