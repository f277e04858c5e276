/*
 * Unix sockets whose files have been removed, with their directories or without, or have been renamed in the same directory. The names of
 * the sockets stay as they are.
 */
#include "check.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	CHECK(strlen(path) < sizeof a.sun_path);
	strcpy(a.sun_path, path);
	return a;
}

static int bound(int type, const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, type, 0);

	CHECK(fd >= 0 && bind(fd, (void *)&a, sizeof a) == 0);
	CHECK(type != SOCK_STREAM || listen(fd, 5) == 0);
	return fd;
}

static void named(int fd, const char *path)
{
	struct sockaddr_un a;
	socklen_t length = sizeof a;

	memset(&a, 0, sizeof a);
	CHECK(getsockname(fd, (void *)&a, &length) == 0);
	CHECK(strcmp(a.sun_path, path) == 0);
}

/* Connects to a listening socket by a path, and accepts the connection. */
static void reached(int listening, const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(fd >= 0 && connect(fd, (void *)&a, sizeof a) == 0);
	CHECK(close(accept(listening, NULL, NULL)) == 0 && close(fd) == 0);
}

int main(void)
{
	char here[PATH_MAX], outer[PATH_MAX + 10], renamed_path[PATH_MAX + 10];
	int absolute, relative, deep, datagram, renamed, renamed_relative;
	struct stat st;

	CHECK(getcwd(here, sizeof here));
	snprintf(outer, sizeof outer, "%s/o/i/s", here);
	snprintf(renamed_path, sizeof renamed_path, "%s/old", here);

	CHECK(mkdir("o", 0700) == 0 && mkdir("o/i", 0700) == 0);
	absolute = bound(SOCK_STREAM, outer);
	CHECK(unlink(outer) == 0 && rmdir("o/i") == 0 && rmdir("o") == 0);

	CHECK(mkdir("left", 0700) == 0 && chdir("left") == 0);
	relative = bound(SOCK_STREAM, "s");
	CHECK(unlink("s") == 0);
	CHECK(mkdir("below", 0700) == 0);
	deep = bound(SOCK_DGRAM, "below/../s");
	CHECK(unlink("s") == 0 && rmdir("below") == 0 && chdir("..") == 0 && rmdir("left") == 0);

	datagram = bound(SOCK_DGRAM, "d");
	CHECK(unlink("d") == 0);

	renamed = bound(SOCK_STREAM, renamed_path);
	CHECK(rename("old", "new") == 0);
	renamed_relative = bound(SOCK_STREAM, "./old"); /* has the old name now */
	reached(renamed, "new");
	reached(renamed_relative, "old");
	CHECK(chmod("new", 0610) == 0);
	ready();
	await_go();
	named(absolute, outer);
	named(relative, "s");
	named(deep, "below/../s");
	named(datagram, "d");
	named(renamed, renamed_path);
	named(renamed_relative, "./old");
	CHECK(stat("o", &st) == -1 && stat("left", &st) == -1 && stat("d", &st) == -1);
	CHECK(stat("new", &st) == 0 && st.st_mode == (S_IFSOCK | 0610));
	reached(renamed, "new");
	reached(renamed_relative, "old");
	pass();
}
