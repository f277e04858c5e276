/*
 * sharer PROGRAM…: runs the program as a child. Both have both ends of one pipe open, as descriptors 3 and 4. sharer writes the
 * child's PID to the file child.
 */

#include <sys/wait.h>

#include "check.h"

int main(int argc, char **argv)
{
	int ends[2], status;
	pid_t child;

	CHECK(argc > 1 && pipe(ends) == 0);
	CHECK(dup2(ends[1], 9) == 9 && dup2(ends[0], 3) == 3 && dup2(9, 4) == 4);
	for (int fd = 5; fd < 16; fd++)
		close(fd);
	child = fork();
	if (child == 0) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	CHECK(child > 0);
	{
		FILE *f = fopen("child", "w");

		CHECK(f && fprintf(f, "%d\n", child) > 0 && fclose(f) == 0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	return 0;
}
