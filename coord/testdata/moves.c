/*
 * Copies its input to its output. Meanwhile a daemon of it becomes another process every 20 ms: it forks, the child forks the next
 * daemon, and both end. No process descends from the first one. It ends when there is a file named stop in the working directory, and
 * after ten minutes in any case.
 */
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void move(void)
{
	static const struct timespec pause = { 0, 20000000 };
	pid_t child;

	for (int moves = 0; moves < 30000 && access("stop", F_OK); moves++) {
		nanosleep(&pause, 0);
		child = fork();
		if (child == 0 && fork() != 0)
			_exit(0);
		if (child == 0)
			continue;
		waitpid(child, 0, 0);
		_exit(0);
	}
	_exit(0);
}

int main(void)
{
	char line[100];
	ssize_t got;
	pid_t child = fork();

	if (child == 0) {
		if (fork() == 0)
			move();
		_exit(0);
	}
	waitpid(child, 0, 0);
	while ((got = read(0, line, sizeof line)) > 0)
		if (write(1, line, got) != got)
			return 1;
	return got != 0;
}
