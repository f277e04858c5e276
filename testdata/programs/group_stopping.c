/*
 * group_stopping: a parent stops and continues its child all the time, so a checkpoint meets the child just before it stops, stopped, inside
 * CRAK's handler, or just continued. wait(2) reports each change once.
 *
 * group_stopping restarts: the parent waits only for the stops. The kernel does not show that a child has continued and its parent has not
 * waited for that, so a restart loses it.
 */
#include "group.h"

static int worker(long unused)
{
	(void)unused;
	while (pause() < 0)
		;
	return 1;
}

int main(int argc, char **argv)
{
	pid_t pid = child(worker, 0);
	int status, restarts = argc > 1 && strcmp(argv[1], "restarts") == 0;

	ready();
	for (int i = 0; i < 10 || access("go", F_OK); i++) {
		CHECK(kill(pid, SIGSTOP) == 0);
		EQUAL(waitpid(pid, &status, WUNTRACED | (restarts ? 0 : WCONTINUED)), pid);
		CHECK(WIFSTOPPED(status));
		CHECK(kill(pid, SIGCONT) == 0);
		if (!restarts) {
			EQUAL(waitpid(pid, &status, WUNTRACED | WCONTINUED), pid);
			CHECK(WIFCONTINUED(status));
		}
		pause_ms(1); /* so that some checkpoints find the child as it runs */
	}
	CHECK(kill(pid, SIGKILL) == 0);
	EQUAL(waitpid(pid, &status, 0), pid);
	pass();
}
