/* group_shares files|fs: a child shares its parent's descriptors, or its working directory and umask (clone(2)). */
#include "group.h"

#include <sched.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	long files = argc > 1 && !strcmp(argv[1], "files");
	int status, fd;
	pid_t pid = syscall(SYS_clone, SIGCHLD | (files ? CLONE_FILES : CLONE_FS), 0, 0, 0, 0);

	CHECK(pid >= 0);
	if (pid == 0) {
		await_mark("ready");
		if (files)
			CHECK(open("/dev/null", O_RDONLY) >= 0);
		else
			umask(0123);
		_exit(0);
	}
	ready();
	await_go();
	fd = dup(0);
	mark("ready");
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status, 0);
	if (files)
		EQUAL(dup(0), fd + 2);
	else
		EQUAL(umask(0), 0123);
	pass();
}
