/*
 * group_stopping: a parent stops and continues its child all the time, so a checkpoint meets the child just before it stops, stopped, inside
 * CRAK's handler, or just continued. wait(2) reports each change once.
 */
#include "group.h"

static int worker(long unused)
{
	(void)unused;
	while (pause() < 0)
		;
	return 1;
}

int main(void)
{
	pid_t pid = child(worker, 0);
	int status;

	ready();
	for (int i = 0; i < 10 || access("go", F_OK); i++) {
		CHECK(kill(pid, SIGSTOP) == 0);
		EQUAL(waitpid(pid, &status, WUNTRACED | WCONTINUED), pid);
		CHECK(WIFSTOPPED(status));
		CHECK(kill(pid, SIGCONT) == 0);
		EQUAL(waitpid(pid, &status, WUNTRACED | WCONTINUED), pid);
		CHECK(WIFCONTINUED(status));
		pause_ms(1); /* so that some checkpoints find the child as it runs */
	}
	CHECK(kill(pid, SIGKILL) == 0);
	EQUAL(waitpid(pid, &status, 0), pid);
	pass();
}
