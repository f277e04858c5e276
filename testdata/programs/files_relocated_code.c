/*
 * The program's executable and a library are in a directory that is moved while it is not running. It copies itself and the library
 * there, and executes the copy.
 */
#include "check.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static void copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	CHECK(in >= 0 && out >= 0);
	while (sendfile(out, in, 0, 1 << 20) > 0)
		;
	CHECK(close(in) == 0 && close(out) == 0);
}

/* maps tells whether a file with this end of its path is mapped. */
static int maps(const char *end)
{
	static char text[1 << 18];

	slurp("/proc/self/maps", text, sizeof text);
	return strstr(text, end) != 0;
}

int main(int count, char **arguments)
{
	char path[400], own[400];
	struct link_map *system;
	void *library;
	ssize_t n;

	if (count == 1) {
		CHECK(mkdir("old", 0755) == 0);
		copy("/proc/self/exe", "old/program");
		system = dlopen("libm.so.6", RTLD_NOW);
		CHECK(system);
		copy(system->l_name, "old/library.so");
		execl("old/program", "program", "again", NULL);
		fail("execl");
	}
	CHECK(!strcmp(arguments[1], "again"));
	CHECK(getcwd(path, sizeof path - 20));
	strcat(path, "/old/library.so");
	library = dlopen(path, RTLD_NOW);
	if (!library)
		fail("%s", dlerror());
	double (*absolute)(double) = (double (*)(double))(uintptr_t)dlsym(library, "fabs");
	CHECK(absolute && absolute(-27) == 27);
	CHECK(maps("/old/library.so\n") && maps("/old/program\n"));
	ready();
	await_go();
	CHECK(maps("/new/library.so\n") && maps("/new/program\n"));
	CHECK(absolute(-64) == 64);
	n = readlink("/proc/self/exe", own, sizeof own - 1);
	CHECK(n > 0);
	own[n] = 0;
	CHECK(n > 12 && !strcmp(own + n - 12, "/new/program"));
	pass();
}
