/* Private and shared file mappings: clean pages show the file, written private pages keep the program's data. */
#include "check.h"

#include <sys/mman.h>

#define PAGES 64
#define PAGE 4096

static int make(const char *name, uint64_t seed)
{
	static char block[PAGES * PAGE];
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0);
	fill(block, sizeof block, seed);
	CHECK(write(fd, block, sizeof block) == sizeof block);
	return fd;
}

static char *map(int fd, int prot, int flags, off_t offset, size_t size)
{
	void *p = mmap(0, size, prot, flags, fd, offset);
	CHECK(p != MAP_FAILED);
	return p;
}

int main(void)
{
	int private = make("private.dat", 1), shared = make("shared.dat", 2);
	char *dirty = map(private, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, PAGES * PAGE);
	char *clean = map(private, PROT_READ, MAP_PRIVATE, 8 * PAGE, 8 * PAGE);
	char *sealed = map(private, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, PAGES * PAGE);
	char *common = map(shared, PROT_READ | PROT_WRITE, MAP_SHARED, 0, PAGES * PAGE);
	char *again = map(shared, PROT_READ, MAP_SHARED, 16 * PAGE, PAGE);
	uint64_t word;

	for (int i = 0; i < PAGES; i += 2)
		fill(dirty + i * PAGE, PAGE, 1000 + i);
	/* Written, and then made read-only, as the loader does with RELRO. */
	fill(sealed + 5 * PAGE, PAGE, 77);
	CHECK(mprotect(sealed, PAGES * PAGE, PROT_READ) == 0);
	fill(common + 16 * PAGE, PAGE, 88);
	CHECK(close(private) == 0);

	ready();
	await_go();

	for (int i = 0; i < PAGES; i++)
		check_filled(dirty + i * PAGE, PAGE, i % 2 ? 1 + (uint64_t)i * PAGE / 8 : 1000 + (uint64_t)i);
	check_filled(clean, 8 * PAGE, 1 + 8 * PAGE / 8);
	check_filled(sealed, 5 * PAGE, 1);
	check_filled(sealed + 5 * PAGE, PAGE, 77);
	check_filled(common, 16 * PAGE, 2);
	check_filled(again, PAGE, 88);

	/* The mappings are still private and shared. */
	fill(dirty + PAGE, PAGE, 5);
	fill(common + 16 * PAGE, PAGE, 6);
	check_filled(again, PAGE, 6);
	CHECK(pread(shared, &word, 8, 16 * PAGE) == 8);
	CHECK(word == scramble(6));
	private = open("private.dat", O_RDONLY | O_CLOEXEC);
	CHECK(pread(private, &word, 8, PAGE) == 8);
	CHECK(word == scramble(1 + PAGE / 8));
	/* After MADV_DONTNEED a private page shows the file's content. */
	CHECK(madvise(dirty, PAGE, MADV_DONTNEED) == 0);
	check_filled(dirty, PAGE, 1);
	pass();
}
