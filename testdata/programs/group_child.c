/* A process and its child. Both check their memory and their relatives all the time. */
#include "group.h"

static pid_t root, kid;

static int count(long seed)
{
	size_t size = 1 << 16;
	uint64_t *memory = malloc(size);
	pid_t self = getpid();

	CHECK(memory);
	mark("child");
	for (uint64_t n = 0; access("go", F_OK); n++) {
		fill(memory, size, seed + n);
		EQUAL(getppid(), root);
		EQUAL(getpid(), self);
		pause_ms(1);
		check_filled(memory, size, seed + n);
	}
	return seed;
}

int main(void)
{
	root = getpid();
	kid = child(count, 7);
	await_mark("child");
	ready();
	while (access("go", F_OK)) {
		EQUAL(getpid(), root);
		CHECK(kill(kid, 0) == 0);
		pause_ms(1);
	}
	reap(kid, 7);
	EQUAL(waitpid(-1, 0, 0), -1);
	EQUAL(errno, ECHILD);
	pass();
}
