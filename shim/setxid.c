/*
 * The functions we interpose: those by which a program changes its user and group IDs.
 *
 * In a process with threads glibc makes each thread change its own, and asks them by the freeze signal. A thread that
 * executes a program ignores that signal for the whole process (exec.c), and glibc would wait for ever. So the two
 * keep out of each other's way: each announces itself before it looks for the other.
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

/* 1 if it is to be ended. A child of vfork leaves its parent's page alone. Whoever executes a program in this very thread
 * was interrupted by a handler that calls us, and one that does not end was left by longjmp: the handler is put back. */
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
