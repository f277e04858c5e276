/*
 * A tree of processes: tree DEPTH WIDTH. Each process above DEPTH has WIDTH children. Each process counts in memory of its own,
 * and checks that nobody else writes to it. The root copies its input to its output, and at its end waits for all
 * children: the exit status is 0 if every process was well.
 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static volatile long count, copy;
static volatile sig_atomic_t over;

static void end(int signal)
{
	(void)signal;
	over = 1;
}

static int work(void)
{
	while (!over) {
		if (count != copy)
			return 1;
		copy = ++count;
		usleep(1000);
	}
	return 0;
}

static int reap(int width, const int *children)
{
	int bad = 0, status;

	for (int i = 0; i < width; i++) {
		kill(children[i], SIGTERM);
		bad |= waitpid(children[i], &status, 0) != children[i] || status;
	}
	return bad;
}

static int grow(int depth, int width, int root)
{
	int children[64], bad = 0;
	char c;

	for (int i = 0; i < width && depth; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			exit(grow(depth - 1, width, 0));
		}
	}
	if (!root)
		bad = work();
	while (root && read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return bad | (depth ? reap(width, children) : 0);
}

int main(int argc, char **argv)
{
	signal(SIGTERM, end);
	return argc == 3 ? grow(atoi(argv[1]), atoi(argv[2]), 1) : 2;
}
