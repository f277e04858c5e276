/* Open files whose mode now forbids the owner this access; a umask of 0777. */
#include "check.h"

#include <sys/stat.h>

static int made(const char *name, int flags, mode_t mode)
{
	int fd = open(name, flags | O_CREAT | O_EXCL, mode);

	CHECK(fd >= 0);
	return fd;
}

static void has_mode(int fd, mode_t want)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	EQUAL(st.st_mode & 07777, want);
}

int main(void)
{
	int read_only = made("r", O_RDWR, 0444), write_only = made("w", O_WRONLY, 0222 & ~022), none = made("n", O_RDONLY, 0600);

	CHECK(write(read_only, "one", 3) == 3 && fchmod(none, 0) == 0);
	umask(0777);
	ready();
	await_go();
	EQUAL(umask(0), 0777);
	CHECK(write(read_only, "two", 3) == 3 && write(write_only, "x", 1) == 1);
	has_mode(read_only, 0444);
	has_mode(write_only, 0200);
	has_mode(none, 0);
	EQUAL(lseek(read_only, 0, SEEK_CUR), 6);
	pass();
}
