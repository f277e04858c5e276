/*
 * A program whose only child executes sleep without the library: `group_skip_unprepared free`, or `hang`, whose standard output the
 * program reads.
 */
#include "group.h"

int main(int argc, char **argv)
{
	int ends[2] = { -1, -1 }, executed[2];
	char byte;

	CHECK(argc == 2 && pipe2(executed, O_CLOEXEC) == 0);
	if (strcmp(argv[1], "hang") == 0)
		CHECK(pipe(ends) == 0);
	if (fork() == 0) {
		if (ends[1] >= 0)
			CHECK(dup2(ends[1], 1) == 1 && close(ends[0]) == 0 && close(ends[1]) == 0);
		unsetenv("LD_PRELOAD");
		execlp("sleep", "sleep", "1000", (char *)0);
		_exit(1);
	}
	CHECK(close(executed[1]) == 0);
	EQUAL(read(executed[0], &byte, 1), 0); /* end-of-file: exec has closed the other end */
	CHECK(close(executed[0]) == 0);
	ready();
	await_go();
	pass();
}
