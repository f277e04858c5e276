/*
 * group_cow MIB [strict]: eight children of a process with that much memory, which they share with it copy-on-write. Each
 * has written to some pages. With "strict" the sum of the PSS of all processes may grow by a tenth only.
 */
#include "group.h"

enum { KIDS = 8, PAGE = 4096 };

static uint64_t *memory;
static size_t size;

static void check(int number)
{
	for (size_t at = 0; at < size; at += PAGE) {
		size_t page = at / PAGE;
		int own = number > 0 && page % 97 == (size_t)number;

		check_filled((char *)memory + at, PAGE, own ? page * 1000 + number : page * 1000);
	}
}

static int kid(long number)
{
	for (size_t page = number; page < size / PAGE; page += 97)
		fill((char *)memory + page * PAGE, PAGE, page * 1000 + number);
	mark("kid-%ld", number);
	await_mark("measured");
	check(number);
	return number;
}

/* pss is the proportional set size of a process in KiB. */
static long pss(pid_t pid)
{
	char path[40], text[4096], *line;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
	slurp(path, text, sizeof text);
	line = strstr(text, "\nPss:");
	CHECK(line);
	return atol(line + 5);
}

int main(int argc, char **argv)
{
	size_t mib = argc > 1 ? atol(argv[1]) : 16;
	int strict = argc > 2;
	pid_t kids[KIDS];
	long before = pss(getpid()), after;

	size = mib << 20;
	memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	for (size_t at = 0; at < size; at += PAGE)
		fill((char *)memory + at, PAGE, at / PAGE * 1000);
	for (int i = 0; i < KIDS; i++)
		kids[i] = child(kid, i + 1);
	for (int i = 0; i < KIDS; i++)
		await_mark("kid-%d", i + 1);
	before = pss(getpid());
	for (int i = 0; i < KIDS; i++)
		before += pss(kids[i]);
	ready();
	await_go();
	after = pss(getpid());
	for (int i = 0; i < KIDS; i++)
		after += pss(kids[i]);
	mark("measured");
	if (strict && after > before + before / 10)
		fail("all use %ld KiB, and used %ld KiB before", after, before);
	check(0);
	for (int i = 0; i < KIDS; i++)
		reap(kids[i], i + 1);
	pass();
}
