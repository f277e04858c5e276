/*
 * A storm of short-lived processes: each of the makers forks children that fork again and end at once, some before their own
 * children. The root changes the link "beat" each time that all makers have made progress.
 */
#include "group.h"

enum { MAKERS = 4 };

static _Atomic uint64_t *rounds;

static int leaf(long code) { return code; }

/* Ends before its child does, or waits for it. */
static int branch(long code)
{
	pid_t pid = child(leaf, 1);

	if (code % 2)
		reap(pid, 1);
	return code;
}

static int maker(long number)
{
	for (uint64_t seed = number; access("go", F_OK); rounds[number]++) {
		seed = scramble(seed);
		reap(child(branch, seed % 64), seed % 64);
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
	}
	return number;
}

/* A restart goes back to any of these calls, and finds the files as they were left later. */
static void beat(unsigned long n)
{
	char text[32];

	snprintf(text, sizeof text, "%lu", n);
	unlink("beat.new");
	CHECK(symlink(text, "beat.new") == 0 || errno == EEXIST);
	CHECK(rename("beat.new", "beat") == 0 || errno == ENOENT);
}

/* reap_orphans waits for the orphans that have ended, and never for a maker. */
static void reap_orphans(const pid_t *makers)
{
	siginfo_t info = {0};

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		for (int i = 0; i < MAKERS; i++)
			if (info.si_pid == makers[i]) {
				CHECK(access("go", F_OK) == 0);
				return;
			}
		EQUAL(waitpid(info.si_pid, 0, 0), info.si_pid);
		info.si_pid = 0;
	}
}

int main(void)
{
	pid_t makers[MAKERS];
	unsigned long n = 0;

	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	rounds = shared(4096);
	for (int i = 0; i < MAKERS; i++)
		makers[i] = child(maker, i);
	ready();
	while (access("go", F_OK)) {
		uint64_t before[MAKERS];

		beat(++n);
		for (int i = 0; i < MAKERS; i++)
			before[i] = rounds[i];
		for (int i = 0; i < MAKERS; i++)
			while (rounds[i] == before[i] && access("go", F_OK)) {
				usleep(500);
				reap_orphans(makers);
			}
	}
	for (int i = 0; i < MAKERS; i++)
		reap(makers[i], i);
	while (wait(0) > 0)
		;
	EQUAL(errno, ECHILD);
	pass();
}
