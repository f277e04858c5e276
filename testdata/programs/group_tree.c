/*
 * group_tree DEPTH WIDTH: each process down to DEPTH has WIDTH children. Each has memory of its own, and exits with the number of
 * processes in its subtree.
 */
#include "group.h"

static int depth, width;

static int node(long level)
{
	enum { SIZE = 16384 };
	static uint64_t memory[SIZE / 8];
	pid_t kids[128], self = getpid(), parent = getppid();
	int all = 1;

	fill(memory, SIZE, self);
	for (int i = 0; level < depth && i < width; i++)
		kids[i] = child(node, level + 1);
	for (int i = 0; level < depth && i < width; i++)
		await_mark("node-%d", kids[i]);
	mark("node-%d", self);
	if (level == 0)
		ready();
	await_go();
	EQUAL(getpid(), self);
	if (level > 0)
		EQUAL(getppid(), parent);
	check_filled(memory, SIZE, self);
	for (int i = 0; level < depth && i < width; i++) {
		int status;

		EQUAL(waitpid(kids[i], &status, 0), kids[i]);
		CHECK(WIFEXITED(status));
		all += WEXITSTATUS(status);
	}
	return all;
}

int main(int argc, char **argv)
{
	int want = 1, level = 1;

	depth = argc > 1 ? atoi(argv[1]) : 2;
	width = argc > 2 ? atoi(argv[2]) : 3;
	for (int i = 0; i < depth; i++) {
		level *= width;
		want += level;
	}
	CHECK(width <= 128 && want < 256);
	EQUAL(node(0), want);
	pass();
}
