/*
 * Files and directories that have lost names while they were open: a file that has another name in the same directory or in another
 * one, a file of O_TMPFILE that was linked later, a FIFO without a name and with bytes in it, directories that were removed, descriptors
 * of O_PATH, and what a deleted file has beside its content: owner, mode, times, extended attributes, holes. Some are shared with a child.
 */
#include "group.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static int created(const char *name, int flags, const char *text)
{
	int fd = open(name, O_RDWR | flags, 0600);

	CHECK(fd >= 0);
	EQUAL(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void has(int fd, const char *text)
{
	char got[100];

	EQUAL(pread(fd, got, sizeof got, 0), strlen(text));
	CHECK(memcmp(got, text, strlen(text)) == 0);
}

static int same(int fd, const char *name)
{
	struct stat one, other;

	CHECK(fstat(fd, &one) == 0);
	return stat(name, &other) == 0 && one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

static int links(int fd)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	return st.st_nlink;
}

static int fifo, fifo_reader, unwritten, removed, twice, path_self;

static int sharer(long unused)
{
	char got[10], path[50];

	(void)unused;
	CHECK(close(path_self) == 0);
	mark("child");
	await_file("second");
	EQUAL(read(fifo_reader, got, sizeof got), 5);
	CHECK(memcmp(got, "bytes", 5) == 0);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", getppid(), removed);
	CHECK(same(removed, path));
	return 0;
}

int main(void)
{
	int beside, elsewhere, linked, path_file, path_directory, whole, direct, sparse, inner, plain, first;
	struct timespec times[2] = {{1000000000, 1000}, {1100000000, 2000}};
	char path[50], buffer[8192], *block = (void *)(((uintptr_t)buffer + 4095) & ~4095ul);
	struct stat st, now;
	pid_t pid;

	CHECK(mkdir("removed", 0710) == 0);
	removed = open("removed", O_RDONLY | O_DIRECTORY);
	CHECK(mkdir("removed/inner", 0700) == 0);
	inner = open("removed/inner", O_RDONLY | O_DIRECTORY);
	EQUAL(syscall(SYS_getdents64, inner, buffer, sizeof buffer) > 0, 1);
	twice = open("removed", O_PATH);
	plain = open("removed", O_RDONLY);
	CHECK(rmdir("removed/inner") == 0 && rmdir("removed") == 0);
	CHECK(mkdir("removed", 0700) == 0); /* another directory has the name now */

	beside = created("old", O_CREAT, "beside");
	CHECK(link("old", "new") == 0 && unlink("old") == 0);
	CHECK(mkdir("away", 0700) == 0);
	elsewhere = created("gone", O_CREAT, "elsewhere");
	CHECK(link("gone", "away/here") == 0 && unlink("gone") == 0);
	CHECK(open("away", O_RDONLY | O_DIRECTORY) >= 0);
	linked = created(".", O_TMPFILE, "linked");
	snprintf(path, sizeof path, "/proc/self/fd/%d", linked);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "tmpfile", AT_SYMLINK_FOLLOW) == 0);

	CHECK(mkfifo("fifo", 0640) == 0);
	fifo = open("fifo", O_RDWR);
	fifo_reader = open("fifo", O_RDONLY | O_NONBLOCK);
	CHECK(fcntl(fifo_reader, F_SETFL, 0) == 0);
	CHECK(unlink("fifo") == 0);
	EQUAL(write(fifo, "bytes", 5), 5);
	CHECK(mkfifo("unwritten", 0640) == 0);
	unwritten = open("unwritten", O_RDONLY | O_NONBLOCK);
	CHECK(unwritten >= 0 && unlink("unwritten") == 0);

	whole = created("deleted", O_CREAT, "content");
	CHECK(fchmod(whole, 02751) == 0);
	if (getuid() == 0)
		CHECK(fchown(whole, 7, 8) == 0 && fchmod(whole, 06751) == 0);
	CHECK(fsetxattr(whole, "user.colour", "green", 5, 0) == 0);
	CHECK(futimens(whole, times) == 0);
	path_file = open("deleted", O_PATH);
	path_directory = open(".", O_PATH | O_DIRECTORY);
	path_self = open("/proc/self", O_PATH | O_DIRECTORY);
	CHECK(path_file >= 0 && path_directory >= 0 && path_self >= 0);
	CHECK(unlink("deleted") == 0);
	CHECK(fstat(whole, &st) == 0);

	direct = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0600);
	CHECK(direct >= 0);
	memset(block, 'd', 4096);
	EQUAL(write(direct, block, 4096), 4096);
	CHECK(unlink("direct") == 0);
	sparse = created("sparse", O_CREAT, "begin");
	CHECK(unlink("sparse") == 0);
	CHECK(ftruncate(sparse, 1l << 40) == 0);
	EQUAL(pwrite(sparse, "middle", 6, 1l << 39), 6);

	pid = child(sharer, 0);
	await_mark("child");
	ready();
	await_go();

	CHECK(same(beside, "new"));
	has(beside, "beside");
	EQUAL(lseek(beside, 0, SEEK_CUR), 6);
	CHECK(same(elsewhere, "away/here"));
	CHECK(same(linked, "tmpfile"));
	EQUAL(links(linked), 1);
	CHECK(access("old", F_OK) == -1 && access("gone", F_OK) == -1 && access("fifo", F_OK) == -1 && access("deleted", F_OK) == -1);

	CHECK(poll(&(struct pollfd){unwritten, POLLIN, 0}, 1, 0) == 0); /* nobody has ever opened it for writing */
	snprintf(path, sizeof path, "/proc/self/fd/%d", unwritten);
	first = open(path, O_WRONLY);
	EQUAL(write(first, "first", 5), 5);
	EQUAL(read(unwritten, buffer, sizeof buffer), 5);
	CHECK(fstat(fifo, &now) == 0);
	EQUAL(now.st_mode, S_IFIFO | 0640);
	EQUAL(now.st_nlink, 0);

	CHECK(fstat(removed, &now) == 0);
	EQUAL(now.st_mode, S_IFDIR | 0710);
	EQUAL(now.st_nlink, 0);
	CHECK(!same(removed, "removed"));
	CHECK(openat(removed, "x", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT);
	snprintf(path, sizeof path, "/proc/self/fd/%d", twice);
	CHECK(same(removed, path));
	EQUAL(fcntl(removed, F_GETFL) & (O_DIRECTORY | O_PATH), O_DIRECTORY);
	EQUAL(fcntl(plain, F_GETFL) & (O_DIRECTORY | O_PATH), 0);
	EQUAL(fcntl(twice, F_GETFL) & O_PATH, O_PATH);
	EQUAL(links(inner), 0);

	has(whole, "content");
	CHECK(fstat(whole, &now) == 0);
	EQUAL(now.st_mode, st.st_mode);
	EQUAL(now.st_uid, st.st_uid);
	EQUAL(now.st_gid, st.st_gid);
	EQUAL(now.st_nlink, 0);
	EQUAL(now.st_mtim.tv_sec, times[1].tv_sec);
	EQUAL(now.st_mtim.tv_nsec, times[1].tv_nsec);
	EQUAL(fgetxattr(whole, "user.colour", buffer, sizeof buffer), 5);
	CHECK(memcmp(buffer, "green", 5) == 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", path_file);
	CHECK(same(whole, path));
	EQUAL(fcntl(path_file, F_GETFL) & O_PATH, O_PATH);
	CHECK(faccessat(path_directory, "new", F_OK, 0) == 0);
	inner = openat(path_self, "comm", O_RDONLY);
	EQUAL(read(inner, buffer, sizeof buffer), 14);
	CHECK(memcmp(buffer, "files_removed", 13) == 0);

	EQUAL(fcntl(direct, F_GETFL) & O_DIRECT, O_DIRECT);
	memset(block, 0, 4096);
	EQUAL(pread(direct, block, 4096, 0), 4096);
	EQUAL(block[4095], 'd');
	CHECK(fstat(sparse, &now) == 0);
	EQUAL(now.st_size, 1l << 40);
	CHECK(now.st_blocks < 100);
	EQUAL(lseek(sparse, 5 + 65536, SEEK_DATA), 1l << 39);
	EQUAL(pread(sparse, buffer, 6, 1l << 39), 6);
	CHECK(memcmp(buffer, "middle", 6) == 0);

	mark("second");
	reap(pid, 0);
	CHECK(fcntl(fifo, F_SETFL, O_NONBLOCK) == 0);
	CHECK(read(fifo, buffer, 1) == -1 && errno == EAGAIN);
	pass();
}
