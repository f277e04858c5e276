/* Two processes have a working directory that was removed. */
#include "group.h"

#include <limits.h>
#include <sys/stat.h>

static _Atomic int *go;

static void in_removed_directory(void)
{
	char path[PATH_MAX] = "";
	struct stat st;

	CHECK(stat(".", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(readlink("/proc/self/cwd", path, sizeof path - 1) > 0);
	CHECK(strstr(path, " (deleted)"));
	CHECK(creat("file", 0600) < 0 && errno == ENOENT);
}

static int sharer(long unused)
{
	(void)unused;
	while (!*go)
		pause_ms(1);
	in_removed_directory();
	return 0;
}

int main(void)
{
	char top[PATH_MAX - 10];
	pid_t pid;

	go = shared(sizeof *go);
	CHECK(getcwd(top, sizeof top));
	CHECK(mkdir("place", 0700) == 0 && mkdir("place/here", 0700) == 0 && chdir("place/here") == 0 && rmdir("../here") == 0);
	pid = child(sharer, 0);
	ready();
	strcat(top, "/go");
	await_file(top);
	in_removed_directory();
	*go = 1;
	reap(pid, 0);
	pass();
}
