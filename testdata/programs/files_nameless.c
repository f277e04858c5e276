/* Files without a name: deleted files that several descriptions and a mapping share, O_TMPFILE, deleted shared memory. */
#include "check.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define SIZE 20000

static int open_new(const char *name, int flags)
{
	int fd = open(name, flags | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0);
	return fd;
}

static void check_links(int fd, const char *path)
{
	char link[64], target[4096];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	CHECK((n = readlink(link, target, sizeof target - 1)) > 0);
	target[n] = 0;
	if (!strstr(target, path) || !strstr(target, " (deleted)"))
		fail("fd %d is %s, want %s", fd, target, path);
}

static void check_text(int fd, off_t at, const char *want)
{
	char text[64] = {0};

	CHECK(pread(fd, text, strlen(want), at) == (ssize_t)strlen(want));
	if (strcmp(text, want))
		fail("fd %d holds \"%s\", want \"%s\"", fd, text, want);
}

/* One inode with a description for writing, one for reading, and a shared mapping. */
static void check_shared(int writer, int reader, char *map)
{
	struct stat a, b;

	CHECK(fstat(writer, &a) == 0 && fstat(reader, &b) == 0);
	CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	EQUAL(a.st_nlink, 0);
	EQUAL(a.st_size, SIZE);
	EQUAL(lseek(writer, 0, SEEK_CUR), 7);
	EQUAL(lseek(reader, 0, SEEK_CUR), 3);
	EQUAL(fcntl(reader, F_GETFL) & O_ACCMODE, O_RDONLY);
	check_text(reader, 0, "shared");
	CHECK(!memcmp(map, "shared", 6));
	CHECK(pwrite(writer, "W", 1, 12345) == 1 && map[12345] == 'W');
	map[54] = 'M';
	check_text(reader, 54, "M");
}

int main(void)
{
	int writer = open_new("shared.dat", O_RDWR), reader = open("shared.dat", O_RDONLY);
	int taken = open_new("taken.dat", O_RDWR), replaced, temporary, memory, orphan;
	char *map, *hidden;

	CHECK(ftruncate(writer, SIZE) == 0 && write(writer, "shared\n", 7) == 7);
	CHECK(reader >= 0 && lseek(reader, 3, SEEK_SET) == 3);
	map = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
	CHECK(map != MAP_FAILED && unlink("shared.dat") == 0);

	CHECK(write(taken, "old", 3) == 3);
	replaced = open_new("new.dat", O_WRONLY);
	CHECK(write(replaced, "new file", 8) == 8 && rename("new.dat", "taken.dat") == 0);

	CHECK((temporary = open(".", O_TMPFILE | O_RDWR, 0600)) >= 0 && write(temporary, "tmpfile", 7) == 7);
	CHECK((memory = open("/dev/shm", O_TMPFILE | O_RDWR, 0600)) >= 0 && write(memory, "memory", 6) == 6);

	CHECK(mkdir("dir", 0700) == 0);
	orphan = open_new("dir/orphan.dat", O_RDWR | O_APPEND);
	CHECK(write(orphan, "orphan", 6) == 6 && unlink("dir/orphan.dat") == 0 && rmdir("dir") == 0);

	CHECK(ftruncate(orphan, SIZE) == 0);
	hidden = mmap(0, SIZE, PROT_READ, MAP_PRIVATE, taken, 0);
	CHECK(hidden != MAP_FAILED && hidden[0] == 'o');

	ready();
	await_go();

	check_shared(writer, reader, map);
	check_links(writer, "/shared.dat");
	check_text(taken, 0, "old");
	check_text(temporary, 0, "tmpfile");
	EQUAL(lseek(temporary, 0, SEEK_CUR), 7);
	check_text(memory, 0, "memory");
	check_text(orphan, 0, "orphan");
	CHECK(fcntl(orphan, F_GETFL) & O_APPEND);
	CHECK(hidden[0] == 'o' && hidden[2] == 'd');
	EQUAL(access("shared.dat", F_OK), -1);
	EQUAL(access("dir", F_OK), -1);
	CHECK((replaced = open("taken.dat", O_RDONLY)) >= 0);
	check_text(replaced, 0, "new file");
	pass();
}
