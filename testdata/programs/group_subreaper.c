/* A subreaper below the root: it has the orphans that are there, and gets those that come later. */
#include "group.h"

static int orphan(long code)
{
	mark("orphan-%ld", code);
	await_mark("end-%ld", code);
	return code;
}

/* Leaves a child behind. */
static int leaver(long code)
{
	child(orphan, code);
	await_mark("orphan-%ld", code);
	return 0;
}

static int late_leaver(long code)
{
	mark("late");
	await_go();
	return leaver(code);
}

static int reaper(long code)
{
	pid_t late;
	int is = 0, status;

	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	reap(child(leaver, 21), 0);
	late = child(late_leaver, 22);
	await_mark("late");
	mark("reaper");
	await_go();
	CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is) == 0);
	EQUAL(is, 1);
	reap(late, 0);
	mark("end-21");
	CHECK(wait(&status) > 0);
	EQUAL(status, 21 << 8);
	mark("end-22");
	CHECK(wait(&status) > 0);
	EQUAL(status, 22 << 8);
	return code;
}

int main(void)
{
	pid_t kid = child(reaper, 3);
	int is = 1;

	await_mark("reaper");
	ready();
	await_go();
	CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is) == 0);
	EQUAL(is, 0);
	reap(kid, 3);
	pass();
}
