/*
 * Changes its mappings all the time, with flags that only smaps shows. Each round maps memory, calls madvise, and checks the
 * content and the flags. The size differs from round to round.
 */
#include "check.h"

#include <sys/mman.h>

static const struct {
	int advice;
	const char *flag; /* in VmFlags of smaps */
} kinds[] = {
	{MADV_NORMAL, "rd"},     {MADV_DONTDUMP, "dd"}, {MADV_NOHUGEPAGE, "nh"}, {MADV_SEQUENTIAL, "sr"},
	{MADV_NORMAL, "nr"},     {MADV_DONTFORK, "dc"}, {MADV_WIPEONFORK, "wf"},
};
#define COUNT (sizeof kinds / sizeof kinds[0])

/* check_flag reads the VmFlags line of the mapping that begins at p. */
static void check_flag(const char *p, const char *flag)
{
	static char text[1 << 20];
	char word[32], *at;

	slurp("/proc/self/smaps", text, sizeof text);
	snprintf(word, sizeof word, "%lx-", (unsigned long)p);
	at = strstr(text, word);
	CHECK(at);
	at = strstr(at, "VmFlags:");
	CHECK(at);
	strchr(at, '\n')[0] = ' ';
	snprintf(word, sizeof word, " %s ", flag);
	if (!strstr(at, word))
		fail("no flag %s in %.80s", flag, at);
}

/* Pages with PROT_NONE keep the kernel from merging the mappings. */
static void churn(unsigned int round, unsigned int kinds_used)
{
	size_t size = (1 + round % 5) * 4096;
	char *memory[COUNT];

	for (size_t i = 0; i < kinds_used; i++) {
		int flags = MAP_PRIVATE | MAP_ANONYMOUS | (!strcmp(kinds[i].flag, "nr") ? MAP_NORESERVE : 0);
		char *room = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(room != MAP_FAILED);
		memory[i] = mmap(room + 4096, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0);
		CHECK(memory[i] == room + 4096);
		CHECK(madvise(memory[i], size, kinds[i].advice) == 0);
		fill(memory[i], size, round + i);
	}
	for (int again = 0; again < 3; again++)
		for (size_t i = 0; i < kinds_used; i++) {
			check_filled(memory[i], size, round + i);
			check_flag(memory[i], kinds[i].flag);
		}
	for (size_t i = 0; i < kinds_used; i++)
		CHECK(munmap(memory[i] - 4096, size + 8192) == 0);
}

int main(void)
{
	unsigned int round = 0;

	ready();
	while (access("go", F_OK)) {
		/* The writer must know these two flags before it makes the twin. Most rounds do not set them. */
		churn(round, round % 4 ? COUNT - 2 : COUNT);
		round++;
	}
	pass();
}
