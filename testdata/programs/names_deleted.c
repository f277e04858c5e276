/* The executable is deleted while the program runs. The program then reads /proc/self/exe, as before executing itself. */
#include "check.h"

#include <sys/sendfile.h>
#include <sys/stat.h>

static char path[4096];
static uint64_t sum;
static volatile const char here[] = "a constant in a page of the file";
static volatile int changed = 1; /* a variable, so that a private page of the executable is written */

static uint64_t content(off_t *size)
{
	char buffer[4096];
	uint64_t hash = 1;
	ssize_t n;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	*size = 0;
	while ((n = read(fd, buffer, sizeof buffer)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			hash = scramble(hash + (unsigned char)buffer[i]);
		*size += n;
	}
	CHECK(n == 0 && close(fd) == 0);
	return hash;
}

static void check_link(void)
{
	char now[4096];
	ssize_t n = readlink("/proc/self/exe", now, sizeof now - 1);

	CHECK(n > 0);
	now[n] = 0;
	if (strcmp(now, path))
		fail("/proc/self/exe is %s", now);
}

int main(int argc, char **argv)
{
	off_t size, size_now;
	ssize_t n;

	if (argc < 2) { /* a copy of its own, to delete */
		char copy[64];
		int from = open("/proc/self/exe", O_RDONLY), to;
		struct stat st;

		snprintf(copy, sizeof copy, "./deleted.%d", getpid());
		CHECK(from >= 0 && fstat(from, &st) == 0);
		CHECK((to = open(copy, O_WRONLY | O_CREAT | O_EXCL, 0700)) >= 0);
		for (off_t at = 0; at < st.st_size;)
			CHECK(sendfile(to, from, &at, st.st_size - at) > 0);
		CHECK(close(to) == 0 && close(from) == 0);
		execl(copy, argv[0], copy, (char *)0);
		fail("execl");
	}
	n = readlink("/proc/self/exe", path, sizeof path - 20);
	CHECK(n > 0);
	strcpy(path + n, " (deleted)");
	sum = content(&size);
	CHECK(unlink(argv[1]) == 0);
	check_link();
	changed = 2;
	ready();
	await_go();
	check_link();
	EQUAL(content(&size_now), sum);
	EQUAL(size_now, size);
	EQUAL(changed, 2);
	CHECK(!strcmp((const char *)here, "a constant in a page of the file"));
	pass();
}
