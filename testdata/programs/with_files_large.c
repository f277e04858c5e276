/* Has a file of 150 MiB with a hole open for writing. It must have the same content later. */
#include "check.h"

enum { MIB = 1 << 20, PARTS = 150, HOLE = 70 };

static char part[MIB];

int main(void)
{
	int fd = open("large", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	for (int i = 0; i < PARTS; i++) {
		memset(part, i + 1, sizeof part);
		CHECK(i == HOLE || pwrite(fd, part, sizeof part, (off_t)i * MIB) == MIB);
	}
	CHECK(pwrite(fd, "end", 3, (off_t)PARTS * MIB) == 3);
	ready();
	await_go();
	CHECK(lseek(fd, 0, SEEK_END) == (off_t)PARTS * MIB + 3);
	for (int i = 0; i < PARTS; i++) {
		CHECK(pread(fd, part, sizeof part, (off_t)i * MIB) == MIB);
		for (int j = 0; j < MIB; j++)
			EQUAL(part[j], i == HOLE ? 0 : (char)(i + 1));
	}
	CHECK(pread(fd, part, sizeof part, (off_t)PARTS * MIB) == 3 && memcmp(part, "end", 3) == 0);
	pass();
}
