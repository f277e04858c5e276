/*
 * Maps a file shared, and then makes its path invalid or hides it. The argument says how:
 *
 *	same       the file had two names in one directory; the mapped one is removed
 *	apart      the same, with the other name in another directory
 *	closed     the directory loses its search permission
 *	semaphore  sem_open(3) maps the file under a temporary name, which it removes
 *	mounted    the file is on a tmpfs in the program's own mount namespace
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define SIZE 8192

static char *map(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	char *memory;

	CHECK(fd >= 0 && ftruncate(fd, SIZE) == 0);
	memory = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED && close(fd) == 0);
	fill(memory, SIZE, 1);
	return memory;
}

static void check_file(const char *name, uint64_t seed)
{
	char block[SIZE];
	int fd = open(name, O_RDONLY);

	CHECK(fd >= 0 && read(fd, block, SIZE) == SIZE && close(fd) == 0);
	check_filled(block, SIZE, seed);
}

static void semaphore(void)
{
	char name[64];
	sem_t *mine, *again;
	int value;

	snprintf(name, sizeof name, "/crak-test-%d", getpid());
	mine = sem_open(name, O_CREAT | O_EXCL, 0600, 3);
	CHECK(mine != SEM_FAILED);
	ready();
	await_go();
	CHECK(sem_post(mine) == 0);
	again = sem_open(name, 0);
	CHECK(again != SEM_FAILED && sem_getvalue(again, &value) == 0);
	EQUAL(value, 4);
	CHECK(sem_unlink(name) == 0);
	pass();
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "", *other = "b";
	char *memory;

	if (!strcmp(kind, "semaphore"))
		semaphore();
	CHECK(mkdir("d", 0700) == 0 && mkdir("e", 0700) == 0);
	if (!strcmp(kind, "mounted")) {
		CHECK(unshare(CLONE_NEWNS) == 0 && mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) == 0);
		CHECK(mount("none", "d", "tmpfs", 0, 0) == 0);
	}
	if (!strcmp(kind, "closed") || !strcmp(kind, "mounted")) {
		other = "d/a";
		memory = map(other);
		CHECK(chmod("d", !strcmp(kind, "closed") ? 0 : 0700) == 0);
	} else {
		if (!strcmp(kind, "apart"))
			other = "e/b";
		memory = map("a");
		CHECK(link("a", other) == 0 && unlink("a") == 0);
	}
	ready();
	await_go();
	CHECK(chmod("d", 0700) == 0);
	check_filled(memory, SIZE, 1);
	fill(memory, SIZE, 2);
	check_file(other, 2);
	pass();
}
