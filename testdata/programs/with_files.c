/* Has files open for writing. When it goes on, each must be as it was, whatever was done to it meanwhile. */
#include "check.h"
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

enum { MIB = 1 << 20 };

static off_t far = 3LL << 30;

static struct stat status(const char *path)
{
	struct stat st;

	CHECK(stat(path, &st) == 0);
	return st;
}

static void has(const char *path, off_t at, const char *text)
{
	char have[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && pread(fd, have, strlen(text), at) == (ssize_t)strlen(text) && strcmp(have, text) == 0);
	close(fd);
}

static int new_file(const char *path, int flags, const char *text)
{
	int fd = open(path, flags | O_CREAT | O_CLOEXEC, 0640);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

int main(void)
{
	struct timespec times[2] = { { 1000000000, 5 }, { 1100000000, 7 } };
	int sparse = new_file("sparse", O_RDWR, "begin"), linked = new_file("one", O_RDWR, "linked"),
	    log = new_file("log", O_WRONLY | O_APPEND, "first\n"), gone = new_file("gone", O_RDWR, "gone"),
	    common = new_file("common", O_RDWR, "common"), dressed = new_file("dressed", O_WRONLY, "dressed"),
	    again = new_file("replaced", O_RDWR, "replaced");
	bool extended;
	char *map;
	pid_t child;

	CHECK(pwrite(sparse, "end", 3, far) == 3 && ftruncate(sparse, 2 * far) == 0);
	CHECK(link("one", "two") == 0);
	CHECK(ftruncate(common, MIB) == 0);
	CHECK((map = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, common, 0)) != MAP_FAILED);
	strcpy(map + MIB / 2, "mapped");
	extended = fsetxattr(dressed, "user.crak", "value", 5, 0) == 0;
	CHECK(fchmod(dressed, 0604) == 0 && futimens(dressed, times) == 0);
	CHECK((child = fork()) >= 0);
	if (child == 0) {
		await_go();
		CHECK(pwrite(linked, "LINKED", 6, 0) == 6);
		CHECK(strcmp(map + MIB / 2, "mapped") == 0);
		_exit(0);
	}
	ready();
	await_go();
	CHECK(waitpid(child, NULL, 0) == child);
	has("sparse", 0, "begin");
	has("sparse", far, "end");
	CHECK(status("sparse").st_size == 2 * far && status("sparse").st_blocks < MIB / 512);
	has("two", 0, "LINKED");
	CHECK(status("one").st_size == 6 && status("two").st_nlink == 2);
	CHECK(write(log, "second\n", 7) == 7 && status("log").st_size == 13);
	has("log", 0, "first\nsecond\n");
	has("gone", 0, "gone");
	CHECK(pwrite(gone, "here", 4, 0) == 4);
	has("gone", 0, "here");
	has("replaced", 0, "replaced");
	CHECK(pwrite(again, "R", 1, 0) == 1);
	has("replaced", 0, "Replaced");
	CHECK(strcmp(map + MIB / 2, "mapped") == 0);
	has("common", MIB / 2, "mapped");
	CHECK((status("dressed").st_mode & 07777) == 0604 && status("dressed").st_mtim.tv_sec == 1100000000);
	if (extended) {
		char value[8] = "";

		CHECK(getxattr("dressed", "user.crak", value, sizeof value) == 5 && strcmp(value, "value") == 0);
	}
	pass();
}
