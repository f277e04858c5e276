/* madvise and mlock: the flags in /proc, and their effect in a child of fork. */
#include "check.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE (2UL << 20)

static struct advice {
	int advice;
	const char *flag; /* in VmFlags of smaps */
	char *memory;
} all[] = {
	{MADV_DONTFORK, "dc", 0},   {MADV_WIPEONFORK, "wf", 0}, {MADV_DONTDUMP, "dd", 0},
	{MADV_HUGEPAGE, "hg", 0},   {MADV_NOHUGEPAGE, "nh", 0}, {MADV_MERGEABLE, "mg", 0},
	{MADV_SEQUENTIAL, "sr", 0}, {MADV_RANDOM, "rr", 0},
};
#define COUNT (sizeof all / sizeof all[0])

/* has_flag reads the VmFlags line of the mapping that holds p. */
static int has_flag(const char *p, const char *flag)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[1024], word[8];
	unsigned long start, end;
	int inside = 0, found = -1;

	CHECK(smaps);
	snprintf(word, sizeof word, " %s ", flag);
	while (found < 0 && fgets(line, sizeof line, smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (unsigned long)p >= start && (unsigned long)p < end;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, word) != 0;
	}
	CHECK(fclose(smaps) == 0);
	return found;
}

/* A child has the same memory, except for MADV_DONTFORK and MADV_WIPEONFORK. */
static void check_child(void)
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (child == 0) {
		check_zero(all[1].memory, SIZE);
		for (size_t i = 2; i < COUNT; i++)
			check_filled(all[i].memory, SIZE, i);
		EQUAL(msync(all[0].memory, SIZE, MS_ASYNC), -1);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	EQUAL(status, 0);
}

int main(void)
{
	char *on_fault, *shared, *droppable;
	int shared_flag;

	for (size_t i = 0; i < COUNT; i++) {
		/* A gap of PROT_NONE keeps neighbours apart. */
		char *p = mmap(0, SIZE + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p != MAP_FAILED && mprotect(p + 4096, SIZE, PROT_READ | PROT_WRITE) == 0);
		all[i].memory = p + 4096;
		if (madvise(all[i].memory, SIZE, all[i].advice))
			CHECK(errno == EINVAL && all[i].advice == MADV_MERGEABLE); /* a kernel without KSM */
		fill(all[i].memory, SIZE, i);
		if (all[i].advice == MADV_MERGEABLE && !has_flag(all[i].memory, "mg"))
			all[i].flag = "rd";
	}
	shared = mmap(0, 8 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED && (madvise(shared, 8 << 20, MADV_NOHUGEPAGE) == 0 || errno == EINVAL));
	shared_flag = has_flag(shared, "nh");
	droppable = mmap(0, SIZE, PROT_READ | PROT_WRITE, 8 /* MAP_DROPPABLE */ | MAP_ANONYMOUS, -1, 0);
	if (droppable != MAP_FAILED)
		memset(droppable, 1, SIZE);
	on_fault = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(on_fault != MAP_FAILED && mlock2(on_fault, 16384, MLOCK_ONFAULT) == 0);
	check_child();

	ready();
	await_go();

	for (size_t i = 0; i < COUNT; i++) {
		if (has_flag(all[i].memory, all[i].flag) != 1)
			fail("advice %d: no %s in VmFlags", all[i].advice, all[i].flag);
		check_filled(all[i].memory, SIZE, i);
	}
	EQUAL(has_flag(shared, "nh"), shared_flag);
	if (droppable != MAP_FAILED) { /* the kernel may drop pages: a byte is 1, or 0 */
		EQUAL(has_flag(droppable, "dp"), 1);
		for (size_t i = 0; i < SIZE; i++)
			CHECK(droppable[i] == 0 || droppable[i] == 1);
	}
	CHECK(has_flag(on_fault, "lo") == 1);
	CHECK(has_flag(on_fault + 32768, "lo") == 0);
	check_child();
	pass();
}
