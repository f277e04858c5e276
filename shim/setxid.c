/*
 * Interposes the functions by which a program changes its user and group IDs.
 *
 * In a process with several threads, glibc uses the freeze signal to make each thread change its IDs. While one thread
 * executes a program, the whole process ignores that signal (exec.c), and glibc would wait for ever. So the two must not
 * overlap. A thread here increments own.setxids before it reads own.executing; a thread that executes a program sets
 * own.executing before it reads own.setxids.
 */

#include <grp.h>
#include <unistd.h>

#include "resident.h"

#define WAIT_BOUND 1000 /* milliseconds */

static struct {
	int (*setuid)(uid_t);
	int (*setgid)(gid_t);
	int (*seteuid)(uid_t);
	int (*setegid)(gid_t);
	int (*setreuid)(uid_t, uid_t);
	int (*setregid)(gid_t, gid_t);
	int (*setresuid)(uid_t, uid_t, uid_t);
	int (*setresgid)(gid_t, gid_t, gid_t);
	int (*setgroups)(size_t, const gid_t *);
	int (*initgroups)(const char *, gid_t);
} next;

/* Preconditions: the process has one thread, or this was called when it had. */
void setxid_prepare(void)
{
	if (load(&next.setuid))
		return;
	next.setgid = next_function("setgid");
	next.seteuid = next_function("seteuid");
	next.setegid = next_function("setegid");
	next.setreuid = next_function("setreuid");
	next.setregid = next_function("setregid");
	next.setresuid = next_function("setresuid");
	next.setresgid = next_function("setresgid");
	next.setgroups = next_function("setgroups");
	next.initgroups = next_function("initgroups");
	store(&next.setuid, next_function("setuid"));
}

/*
 * Waits until no thread executes a program. Returns 1 if end() must undo the increment; 0 in a child of vfork, where `own`
 * belongs to the parent.
 *
 * There are two cases in which the wait would not end. Then the handler of the freeze signal is installed again:
 *	- This thread itself executes a program, and a signal handler that interrupted it calls this function.
 *	- A signal handler left the execution by longjmp, so own.executing is never cleared.
 */
static int begin(void)
{
	setxid_prepare();
	if (!is_ours())
		return 0;
	add(&own.setxids, 1);
	for (int i = 0, executing; (executing = load(&own.executing)); i++) {
		if (executing == SYSCALL_0(SYS_gettid) || i == WAIT_BOUND) {
			freeze_signal_handle();
			break;
		}
		add(&own.setxids, -1);
		futex_wake_all(&own.setxids);
		futex_wait((unsigned *)&own.executing, executing, 1000000);
		add(&own.setxids, 1);
	}
	return 1;
}

static int end(int begun, int result)
{
	if (begun) {
		add(&own.setxids, -1);
		futex_wake_all(&own.setxids);
	}
	return result;
}

#define INTERPOSE(name, parameters, ...)                         \
	EXPORT int name parameters                               \
	{                                                        \
		int begun = begin();                             \
		return end(begun, next.name(__VA_ARGS__));       \
	}

INTERPOSE(setuid, (uid_t user), user)
INTERPOSE(setgid, (gid_t group), group)
INTERPOSE(seteuid, (uid_t user), user)
INTERPOSE(setegid, (gid_t group), group)
INTERPOSE(setreuid, (uid_t real, uid_t effective), real, effective)
INTERPOSE(setregid, (gid_t real, gid_t effective), real, effective)
INTERPOSE(setresuid, (uid_t real, uid_t effective, uid_t saved), real, effective, saved)
INTERPOSE(setresgid, (gid_t real, gid_t effective, gid_t saved), real, effective, saved)
INTERPOSE(setgroups, (size_t count, const gid_t *groups), count, groups)
INTERPOSE(initgroups, (const char *user, gid_t group), user, group)
