/*
 * group_parts anon|deleted|memfd: an object of three parts without a descriptor. The parent maps the last two and the child
 * the first two. Each sees the parts that it maps, and what the other writes to the part that both map.
 */
#include "group.h"

enum { PART = 3 << 20 };

static char *object;

static void make(const char *kind)
{
	int fd = -1, flags = MAP_SHARED;

	if (!strcmp(kind, "anon"))
		flags |= MAP_ANONYMOUS;
	else if (!strcmp(kind, "memfd"))
		fd = memfd_create("parts", 0);
	else
		fd = open("parts", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd < 0 || ftruncate(fd, 3 * PART) == 0);
	object = mmap(0, 3 * PART, PROT_READ | PROT_WRITE, flags, fd, 0);
	CHECK(object != MAP_FAILED);
	if (fd < 0)
		return;
	CHECK(close(fd) == 0);
	if (!strcmp(kind, "deleted"))
		CHECK(unlink("parts") == 0);
}

static int kid(long number)
{
	CHECK(munmap(object + 2 * PART, PART) == 0);
	mark("kid");
	await_go();
	check_filled(object, PART, 1);
	check_filled(object + PART, PART, 2);
	fill(object + PART, PART, 4);
	mark("written");
	return number;
}

int main(int argc, char **argv)
{
	pid_t one;

	CHECK(argc == 2);
	make(argv[1]);
	for (int i = 0; i < 3; i++)
		fill(object + i * PART, PART, i + 1);
	one = child(kid, 3);
	CHECK(munmap(object, PART) == 0);
	await_mark("kid");
	ready();
	await_mark("written");
	check_filled(object + PART, PART, 4);
	check_filled(object + 2 * PART, PART, 3);
	reap(one, 3);
	pass();
}
