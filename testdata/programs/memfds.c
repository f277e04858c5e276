/*
 * memfds: permissions and the executable bit, also sealed (MFD_NOEXEC_SEAL, Linux 6.3); a second description that is only for reading; a
 * hole; and one that a child has opened by its path in /proc and writes to.
 */
#include "group.h"

#include <sys/stat.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

enum { SEAL_EXEC = 0x20, HOLE = 3 << 20 };

static int made(const char *name, unsigned flags, mode_t mode)
{
	int fd = memfd_create(name, MFD_CLOEXEC | flags);

	if (fd < 0 && errno == EINVAL && flags == MFD_NOEXEC_SEAL)
		return -1;
	CHECK(fd >= 0 && (mode == 0 || fchmod(fd, mode) == 0));
	return fd;
}

static void has(int fd, mode_t mode, off_t size, int seals)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	EQUAL(st.st_mode, S_IFREG | mode);
	EQUAL(st.st_size, size);
	EQUAL(fcntl(fd, F_GET_SEALS), seals);
}

static int writes(long fd)
{
	char path[32];
	int own;

	snprintf(path, sizeof path, "/proc/%d/fd/%ld", getppid(), fd);
	own = open(path, O_RDWR);
	CHECK(own >= 0 && close(fd) == 0);
	EQUAL(write(own, "child", 5), 5);
	mark("written");
	await_go();
	EQUAL(lseek(own, 0, SEEK_CUR), 5);
	EQUAL(write(own, " again", 6), 6);
	return 0;
}

int main(void)
{
	char path[32], text[16];
	int program, sealed, plain, reader, holes, elsewhere;
	pid_t pid;

	program = made("program", MFD_ALLOW_SEALING, 0555);
	sealed = made("sealed", MFD_NOEXEC_SEAL, 0);
	plain = made("plain", 0, 0400);
	holes = made("holes", 0, 0600);
	elsewhere = made("elsewhere", 0, 0640);
	EQUAL(write(plain, "content", 7), 7);
	snprintf(path, sizeof path, "/proc/self/fd/%d", plain);
	reader = open(path, O_RDONLY);
	CHECK(reader >= 0);
	EQUAL(lseek(reader, 3, SEEK_SET), 3);
	EQUAL(pwrite(holes, "end", 3, HOLE), 3);
	pid = child(writes, elsewhere);
	await_mark("written");
	ready();
	await_go();

	has(program, 0555, 0, 0);
	if (sealed >= 0) {
		has(sealed, 0666, 0, SEAL_EXEC);
		EQUAL(fchmod(sealed, 0777), -1);
		EQUAL(errno, EPERM);
	}
	has(plain, 0400, 7, F_SEAL_SEAL);
	EQUAL(lseek(plain, 0, SEEK_CUR), 7);
	EQUAL(fcntl(reader, F_GETFL) & O_ACCMODE, O_RDONLY);
	EQUAL(write(reader, "x", 1), -1);
	EQUAL(read(reader, text, sizeof text), 4);
	CHECK(!memcmp(text, "tent", 4));
	has(holes, 0600, HOLE + 3, F_SEAL_SEAL);
	EQUAL(lseek(holes, 0, SEEK_DATA), HOLE);
	reap(pid, 0);
	EQUAL(lseek(elsewhere, 0, SEEK_CUR), 0);
	EQUAL(read(elsewhere, text, sizeof text), 11);
	CHECK(!memcmp(text, "child again", 11));
	has(elsewhere, 0640, 11, F_SEAL_SEAL);
	pass();
}
