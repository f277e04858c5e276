/*
 * A program whose first child, named first, has a child named grandchild, and whose second child is named second. Only the second
 * child is necessary: the program waits for it at the end.
 */
#include "group.h"

static int live(long name)
{
	CHECK(prctl(PR_SET_NAME, (const char *)name) == 0);
	mark("%s", (const char *)name);
	await_go();
	return 0;
}

static int first(long unused)
{
	pid_t pid = child(live, (long)"grandchild");

	(void)unused;
	live((long)"first");
	reap(pid, 0);
	return 0;
}

int main(void)
{
	pid_t second;

	child(first, 0);
	second = child(live, (long)"second");
	await_mark("first");
	await_mark("second");
	await_mark("grandchild");
	ready();
	await_go();
	reap(second, 0);
	pass();
}
