/*
 * Children that have executed another program, the same program, and a script through its interpreter. They have arguments, an
 * environment and a working directory of their own.
 */
#include "group.h"

#include <sys/stat.h>

static int run_script(long unused)
{
	(void)unused;
	CHECK(chdir("below") == 0);
	execl("./script", "script", "one", "two words", (char *)0);
	fail("script");
}

static int run_self(long unused)
{
	char preload[256], *argv[] = {"itself", "again", 0}, *environment[] = {"ONLY=this", preload, 0};
	const char *library = getenv("LD_PRELOAD");

	(void)unused;
	snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library ? library : "");
	execve("/proc/self/exe", argv, environment);
	fail("itself");
}

static int run_cat(long unused)
{
	(void)unused;
	CHECK(mkfifo("input", 0600) == 0 || errno == EEXIST);
	execl("/bin/cat", "cat", "input", (char *)0);
	fail("cat");
}

static int again(char **argv)
{
	CHECK(!strcmp(argv[0], "itself"));
	mark("again");
	await_go();
	CHECK(!strcmp(getenv("ONLY"), "this"));
	return 11;
}

int main(int argc, char **argv)
{
	pid_t script, self, cat;
	int fd;
	FILE *f;

	if (argc > 1)
		return again(argv);
	CHECK(mkdir("below", 0700) == 0 || errno == EEXIST);
	CHECK(f = fopen("below/script", "w"));
	fputs("#!/bin/sh\n: >../script\nuntil [ -e ../go ]; do sleep 0.01; done\n"
	      "[ \"$0\" = ./script ] && [ \"$*\" = 'one two words' ] && exit 12\n", f);
	CHECK(fclose(f) == 0 && chmod("below/script", 0700) == 0);
	script = child(run_script, 0);
	self = child(run_self, 0);
	cat = child(run_cat, 0);
	await_file("input");
	fd = open("input", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	await_call(cat, SYS_read);
	await_mark("again");
	await_mark("script");
	ready();
	await_go();
	EQUAL(write(fd, "cat\n", 4), 4);
	CHECK(close(fd) == 0);
	reap(cat, 0);
	reap(script, 12);
	reap(self, 11);
	pass();
}
