/* A writable shared file mapping, and a read-only one, as glibc maps its cache of character sets. */
#include "check.h"

#include <sys/mman.h>

#define SIZE (4 * 4096)
#define TABLE_SIZE (3 * 4096 + 50)

static char block[SIZE];

static void make(const char *name, size_t size, uint64_t seed)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0);
	fill(block, SIZE, seed);
	CHECK(write(fd, block, size) == (ssize_t)size);
	CHECK(close(fd) == 0);
}

static char *map(const char *name, int flags, int prot, size_t size)
{
	int fd = open(name, flags | O_CLOEXEC);
	void *p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	CHECK(close(fd) == 0);
	return p;
}

int main(void)
{
	char *shared, *table;
	uint64_t word;
	int fd;

	make("shared.dat", SIZE, 1);
	make("table.dat", TABLE_SIZE, 2);
	shared = map("shared.dat", O_RDWR, PROT_READ | PROT_WRITE, SIZE);
	table = map("table.dat", O_RDONLY, PROT_READ, TABLE_SIZE);

	ready();
	await_go();

	check_filled(shared, SIZE, 1);
	check_filled(table, TABLE_SIZE / 8 * 8, 2);
	for (int i = TABLE_SIZE; i < SIZE; i++)
		EQUAL(table[i], 0);
	/* A write to the mapping changes the file. */
	fill(shared, 4096, 3);
	fd = open("shared.dat", O_RDONLY | O_CLOEXEC);
	CHECK(pread(fd, &word, 8, 0) == 8);
	CHECK(word == scramble(3));
	pass();
}
