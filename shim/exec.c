/*
 * The functions we interpose: those by which a program executes another one.
 *
 * A program that has just been executed has no handler for the freeze signal: not before our constructor has run, and
 * never where the library is not preloaded. The signal would kill it. So a process ignores the signal while it executes a
 * program. A signal that is ignored stays ignored across execve(2), and an order that comes meanwhile is dropped; the
 * writer sends it again (coord/order.go). Our constructor then installs the handler. glibc's posix_spawn, system and
 * popen ignore the signal in their children in the same way.
 *
 * All of this also runs after fork in a process with threads, after vfork, and in signal handlers. So it makes system
 * calls only, and the functions behind ours are looked up beforehand (next.c).
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
	struct kernel_sigaction action; /* before it */
	int locked;
};

/*
 * 1 if it is to be unlocked. One thread at a time: the first that fails would put the handler back while the second is on its way into a new
 * program. (The kernel, too, lets threads of a process execute one after the other.) A handler that interrupts an attempt
 * and executes something itself is nested in it. An attempt that a handler left by longjmp is never ended, so nobody
 * waits for it without bound.
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

/* A child of vfork leaves its parent's page alone; its signal actions are its own. */
static void begin(struct attempt *attempt)
{
	exec_prepare();
	attempt->locked = is_ours() && exec_lock();
	for (int i = 0; attempt->locked && i < WAIT_BOUND && load(&own.setxids) > 0; i++)
		futex_wait(&own.setxids, load(&own.setxids), 1000000); /* it needs the signal (setxid.c) */
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
		failed(&attempt, function(__VA_ARGS__)); /* or never */ \
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

/* The arguments from `first` up to the NULL, on the caller's stack. */
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
