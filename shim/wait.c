/*
 * The interposed functions by which a program can wait for every kind of child.
 *
 * The reaper and the twin do not have SIGCHLD as their exit signal, so only a wait with __WALL or __WCLONE finds them.
 * Other waits go to the C library at once. A wait with these flags for any child first asks which child has changed its
 * state (WNOWAIT). If it is the reaper or the twin, the resident waits for it, as the handler of the freeze signal does,
 * and asks again. Otherwise the call waits for this child by its PID. So the program never gets the PID of the reaper or
 * of the twin.
 *
 * The functions of the C library make the calls: these are cancellation points, and set errno.
 */

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "resident.h"

static struct {
	pid_t (*waitpid)(pid_t, int *, int);
	pid_t (*wait3)(int *, int, struct rusage *);
	pid_t (*wait4)(pid_t, int *, int, struct rusage *);
	int (*waitid)(idtype_t, id_t, siginfo_t *, int);
} next;

void wait_prepare(void)
{
	if (load(&next.waitid))
		return;
	next.waitpid = next_function("waitpid");
	next.wait3 = next_function("wait3");
	next.wait4 = next_function("wait4");
	store(&next.waitid, next_function("waitid"));
}

/* Returns 1 if a wait with these options may find the reaper or the twin. A child of vfork has neither. */
static int may_find_ours(int options)
{
	return options & (__WALL | __WCLONE) && is_ours();
}

static int no_child(void)
{
	errno = ECHILD;
	return -1;
}

/* Returns 1 if the program has no child that a wait could find. waitid(2) finds children whose exit signal is SIGCHLD, and tracees.
 * has_other_children finds other children. */
static int has_none(idtype_t type, id_t id, int options)
{
	int usual = WNOHANG | WNOWAIT | WEXITED | (options & __WNOTHREAD);

	return SYSCALL_5(SYS_waitid, type, id, NULL, usual, NULL) == -ECHILD && !has_other_children();
}

/* Waits until a child of the program has changed its state, and does not reap the child. Returns -1 and sets errno on an error. If
 * no child has changed its state and WNOHANG is set, info->si_pid is 0. The function calls waitid again only if the first call may
 * have found the reaper or the twin. */
static int look(idtype_t type, id_t id, siginfo_t *info, int options)
{
	for (;;) {
		unsigned made = load(&own.made);
		int ours = spawn_has_any();

		if (ours && !(options & WNOHANG) && has_none(type, id, options))
			return no_child();
		info->si_pid = 0;
		if (next.waitid(type, id, info, options | WNOWAIT))
			return -1;
		ours |= load(&own.made) != made;
		if (info->si_pid == 0)
			return ours && has_none(type, id, options) ? no_child() : 0;
		if (!spawn_has(info->si_pid))
			return 0;
		spawn_take(info->si_pid);
	}
}

/* Returns 1 if another thread has waited for the child between look() and the call with this result. */
static int was_taken(int result, pid_t pid)
{
	return result < 0 ? errno == ECHILD : pid == 0;
}

static pid_t wait_for_any(pid_t pid, int *status, int options, struct rusage *usage)
{
	idtype_t type = pid == -1 ? P_ALL : P_PGID;
	id_t id = pid < -1 ? -pid : pid == 0 ? SYSCALL_0(SYS_getpgrp) : 0;
	siginfo_t seen;
	pid_t result;

	do {
		if (look(type, id, &seen, options | WEXITED))
			return -1;
		if (seen.si_pid == 0)
			return 0;
		result = next.wait4(seen.si_pid, status, options | WNOHANG, usage);
	} while (was_taken(result, result));
	return result;
}

/* Returns 1 if the call waits for any child, or for any child of a process group. Invalid arguments go to the C library, which
 * refuses them. */
static int is_for_any(pid_t pid, int options)
{
	const int valid = WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL;

	return pid <= 0 && pid != INT32_MIN && !(options & ~valid);
}

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	wait_prepare();
	if (!may_find_ours(options))
		return next.wait4(pid, status, options, usage);
	if (is_for_any(pid, options))
		return wait_for_any(pid, status, options, usage);
	return spawn_has(pid) ? no_child() : next.wait4(pid, status, options, usage);
}

EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
	wait_prepare();
	return may_find_ours(options) ? wait4(pid, status, options, NULL) : next.waitpid(pid, status, options);
}

EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
	wait_prepare();
	return may_find_ours(options) ? wait4(-1, status, options, usage) : next.wait3(status, options, usage);
}

static int wait_for_any_id(idtype_t type, id_t id, siginfo_t *info, int options)
{
	siginfo_t seen = { 0 }, taken = { 0 };
	int result;

	do {
		result = look(type, id, &seen, options);
		if (result || seen.si_pid == 0 || options & WNOWAIT)
			break;
		taken.si_pid = 0;
		result = next.waitid(P_PID, seen.si_pid, &taken, options | WNOHANG);
		seen = taken;
	} while (was_taken(result, taken.si_pid));
	if (result == 0 && info)
		*info = seen;
	return result;
}

EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	wait_prepare();
	if (!may_find_ours(options))
		return next.waitid(type, id, info, options);
	if (type == P_ALL || type == P_PGID)
		return wait_for_any_id(type, id, info, options);
	return type == P_PID && spawn_has(id) ? no_child() : next.waitid(type, id, info, options);
}
