/*
 * The root is a subreaper and waits for any child. It must not get a child that it does not know. The child of the root ends
 * as soon as it has a child itself. Only a checkpoint makes that child: the twin, which then becomes a child of the subreaper.
 */
#include "group.h"

static int has_children(void)
{
	char path[64], text[256];

	snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
	return slurp(path, text, sizeof text) > 0;
}

static int kid(long code)
{
	size_t size = 200 << 20;
	void *memory = malloc(size);

	CHECK(memory);
	fill(memory, size, 1); /* so that writing it takes a while */
	mark("kid");
	while (access("go", F_OK) && !has_children())
		usleep(200);
	return code;
}

int main(void)
{
	pid_t one;

	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	one = child(kid, 7);
	await_mark("kid");
	ready();
	for (;;) {
		int status;
		pid_t pid = wait(&status);

		if (pid < 0)
			break;
		if (pid != one)
			fail("pid %d: a child that nobody has made: wait status %#x", pid, status);
		EQUAL(status, 7 << 8);
	}
	EQUAL(errno, ECHILD);
	pass();
}
