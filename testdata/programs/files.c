/* Open files: offsets, flags, several descriptors of one description, deleted files, directories, devices, owners. */
#include "check.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define MANY 300

static int open_new(const char *name, int flags)
{
	int fd = open(name, flags | O_CREAT, 0640);
	CHECK(fd >= 0);
	return fd;
}

/* Writes at an offset, with O_APPEND, and through two descriptors of one description. */
static void check_writers(int at, int append, int one, int two)
{
	char text[64] = {0};

	EQUAL(lseek(at, 0, SEEK_CUR), 5);
	CHECK(write(at, "WORLD", 5) == 5);
	CHECK(pread(at, text, 10, 0) == 10 && !strcmp(text, "helloWORLD"));
	CHECK(fcntl(append, F_GETFL) & O_APPEND);
	CHECK(lseek(append, 0, SEEK_SET) == 0 && write(append, "c", 1) == 1);
	EQUAL(lseek(append, 0, SEEK_CUR), 3);
	EQUAL(lseek(one, 0, SEEK_CUR), 100);
	EQUAL(lseek(two, 0, SEEK_CUR), 100);
	CHECK(lseek(two, 7, SEEK_SET) == 7);
	EQUAL(lseek(one, 0, SEEK_CUR), 7);
	EQUAL(fcntl(one, F_GETFD), 0);
	EQUAL(fcntl(two, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(one, F_SETFL, O_NONBLOCK) == 0);
	CHECK(fcntl(two, F_GETFL) & O_NONBLOCK);
}

static void check_deleted(int fd, int empty)
{
	static char block[100000];
	struct stat st;

	CHECK(fstat(fd, &st) == 0 && fstat(empty, &st) == 0);
	EQUAL(st.st_nlink, 0);
	EQUAL(st.st_size, 0);
	EQUAL(lseek(fd, 0, SEEK_CUR), 1234);
	CHECK(pread(fd, block, sizeof block, 0) == sizeof block);
	check_filled(block, sizeof block, 11);
	CHECK(fstat(fd, &st) == 0);
	EQUAL(st.st_mtim.tv_sec, 1000000000);
	EQUAL(st.st_mtim.tv_nsec, 5);
	EQUAL(st.st_nlink, 0);
	EQUAL(st.st_mode & 07777, 0640);
	CHECK(pwrite(fd, "x", 1, 200000) == 1);
	CHECK(access("deleted.dat", F_OK) == -1);
}

struct entries {
	int count;
	char seen[200];
};

/* read_some reads directory entries, whose names are numbers, and notes which it has seen. */
static void read_some(int fd, struct entries *e, int until)
{
	char buffer[512]; /* a few entries at a time */

	while (e->count < until) {
		long n = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
		CHECK(n >= 0);
		if (n == 0)
			return;
		for (long at = 0; at < n;) {
			struct dirent64 *d = (struct dirent64 *)(buffer + at);
			at += d->d_reclen;
			if (d->d_name[0] == '.')
				continue;
			int number = atoi(d->d_name);
			CHECK(number >= 0 && number < 200 && !e->seen[number]);
			e->seen[number] = 1;
			e->count++;
		}
	}
}

static void check_devices(const int *fds)
{
	char text[16];

	CHECK(read(fds[0], text, 1) == 0 && write(fds[0], "x", 1) == 1);
	CHECK(read(fds[1], text, 16) == 16 && text[0] == 0);
	CHECK(write(fds[2], "x", 1) == -1 && errno == ENOSPC);
	CHECK(read(fds[3], text, 16) == 16);
	CHECK(read(fds[4], text, 16) == 16);
}

int main(void)
{
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
	static char block[100000];
	static struct entries entries;
	struct f_owner_ex owner = {F_OWNER_PID, getpid()};
	int at = open_new("at.dat", O_RDWR), append = open_new("append.dat", O_RDWR | O_APPEND);
	int one = open_new("dup.dat", O_RDWR), two, path, other, deleted, empty, dir, owned, many[MANY], device[5];
	char name[32];

	CHECK(write(at, "helloworld", 10) == 10 && lseek(at, 5, SEEK_SET) == 5);
	CHECK(write(append, "ab", 2) == 2);
	CHECK(ftruncate(one, 1000) == 0 && lseek(one, 100, SEEK_SET) == 100);
	CHECK((two = fcntl(one, F_DUPFD_CLOEXEC, 150)) == 150);
	CHECK((other = open("dup.dat", O_RDONLY)) >= 0 && lseek(other, 500, SEEK_SET) == 500);
	CHECK((path = open("dup.dat", O_PATH | O_CLOEXEC)) >= 0);

	fill(block, sizeof block, 11);
	deleted = open_new("deleted.dat", O_RDWR);
	CHECK(write(deleted, block, sizeof block) == sizeof block && lseek(deleted, 1234, SEEK_SET) == 1234);
	CHECK(futimens(deleted, (struct timespec[]){{0, UTIME_NOW}, {1000000000, 5}}) == 0);
	empty = open_new("empty.dat", O_WRONLY);
	CHECK(unlink("deleted.dat") == 0 && unlink("empty.dat") == 0);

	CHECK(mkdir("dir", 0700) == 0);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "dir/%d", i);
		CHECK(close(open_new(name, O_WRONLY)) == 0);
	}
	CHECK((dir = open("dir", O_RDONLY | O_DIRECTORY)) >= 0);
	read_some(dir, &entries, 50);

	for (int i = 0; i < 5; i++)
		CHECK((device[i] = open(devices[i], i == 2 ? O_WRONLY : i < 3 ? O_RDWR : O_RDONLY)) >= 0);
	owned = open_new("owned.dat", O_RDWR);
	CHECK(fcntl(owned, F_SETOWN_EX, &owner) == 0 && fcntl(owned, F_SETSIG, SIGRTMIN + 4) == 0);
	for (int i = 0; i < MANY; i++) {
		CHECK((many[i] = open("dup.dat", i % 2 ? O_RDONLY : O_RDWR | O_CLOEXEC)) >= 0);
		CHECK(lseek(many[i], i, SEEK_SET) == i);
	}

	ready();
	await_go();

	check_writers(at, append, one, two);
	EQUAL(lseek(other, 0, SEEK_CUR), 500);
	EQUAL(fcntl(other, F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK(fcntl(path, F_GETFL) & O_PATH);
	check_deleted(deleted, empty);
	read_some(dir, &entries, 1000);
	EQUAL(entries.count, 200);
	check_devices(device);
	CHECK(fcntl(owned, F_GETOWN_EX, &owner) == 0);
	EQUAL(owner.type, F_OWNER_PID);
	EQUAL(owner.pid, getpid());
	EQUAL(fcntl(owned, F_GETSIG), SIGRTMIN + 4);
	for (int i = 0; i < MANY; i++) {
		EQUAL(lseek(many[i], 0, SEEK_CUR), i);
		EQUAL(fcntl(many[i], F_GETFD), i % 2 ? 0 : FD_CLOEXEC);
	}
	EQUAL(open("dup.dat", O_RDONLY), many[MANY - 1] + 1); /* the lowest free number */
	pass();
}
