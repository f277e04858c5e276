/* Writes numbered lines: `writer plain|append|fast N`. Line N/2 comes before READY, the rest after go. */
#include "check.h"

static void lines(int fd, int from, int to)
{
	char line[64];

	for (int i = from; i < to; i++) {
		int n = snprintf(line, sizeof line, "line %06d %016llx\n", i, (unsigned long long)scramble(i));
		CHECK(write(fd, line, n) == n);
	}
}

int main(int argc, char **argv)
{
	int append = argc > 1 && !strcmp(argv[1], "append");
	int count = argc > 2 ? atoi(argv[2]) : 1000;
	int fd = open("out.log", O_WRONLY | O_CREAT | (append ? O_APPEND : 0), 0644);
	int in = open("in.dat", O_RDONLY | O_CREAT, 0644);

	CHECK(fd >= 0 && in >= 0);
	lines(fd, 0, count / 2);
	ready();
	await_file("more");
	lines(fd, count / 2, count * 3 / 4);
	say("MORE\n");
	await_go();
	lines(fd, count * 3 / 4, count);
	pass();
}
