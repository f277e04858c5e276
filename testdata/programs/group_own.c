/* State that each process has separately: umask, working directory, limits, niceness, name, actions, mask, timers. */
#include "group.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

enum { KIDS = 3 };

static void ignore(int unused) { (void)unused; }

static int kid(long n)
{
	struct rlimit files = {100 + n, 200 + n}, got;
	struct itimerval far = {{0, 0}, {10000 * n, 0}}, left;
	char name[32], text[64], cwd[4096], want[4096];
	struct sigaction action;
	sigset_t set, mask;

	snprintf(name, sizeof name, "directory-%ld", n);
	CHECK(mkdir(name, 0700) == 0);
	CHECK(getcwd(cwd, sizeof cwd - 64));
	snprintf(want, sizeof want, "%.4000s/%s", cwd, name);
	CHECK(chdir(name) == 0);
	umask(010 * n);
	CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	CHECK(setpriority(PRIO_PROCESS, 0, n) == 0);
	snprintf(text, sizeof text, "own-%ld", n);
	CHECK(prctl(PR_SET_NAME, text) == 0);
	signal(SIGUSR1, n == 1 ? SIG_IGN : n == 2 ? SIG_DFL : ignore);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + n);
	CHECK(sigprocmask(SIG_SETMASK, &set, 0) == 0);
	CHECK(setitimer(ITIMER_REAL, &far, 0) == 0);
	mark("../kid-%ld", n);
	await_file("../go");
	CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, want));
	EQUAL(umask(0), 010 * n);
	CHECK(getrlimit(RLIMIT_NOFILE, &got) == 0);
	EQUAL(got.rlim_cur, 100 + n);
	EQUAL(got.rlim_max, 200 + n);
	errno = 0;
	EQUAL(getpriority(PRIO_PROCESS, 0), n);
	CHECK(prctl(PR_GET_NAME, name) == 0 && !strcmp(name, text));
	CHECK(sigaction(SIGUSR1, 0, &action) == 0);
	CHECK(action.sa_handler == (n == 1 ? SIG_IGN : n == 2 ? SIG_DFL : ignore));
	CHECK(sigprocmask(SIG_SETMASK, 0, &mask) == 0);
	for (int i = 0; i < KIDS; i++)
		EQUAL(sigismember(&mask, SIGRTMIN + 1 + i), i + 1 == n);
	CHECK(getitimer(ITIMER_REAL, &left) == 0);
	CHECK(left.it_value.tv_sec > 10000 * n - 600 && left.it_value.tv_sec <= 10000 * n);
	return n;
}

int main(void)
{
	pid_t kids[KIDS];

	umask(027);
	for (int i = 0; i < KIDS; i++)
		kids[i] = child(kid, i + 1);
	for (int i = 0; i < KIDS; i++)
		await_mark("kid-%d", i + 1);
	ready();
	await_go();
	EQUAL(umask(0), 027);
	for (int i = 0; i < KIDS; i++)
		reap(kids[i], i + 1);
	pass();
}
