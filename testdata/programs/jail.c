/* Changes its root directory (chroot(2)). jail nobody: a child of it does so, and changes its user. */
#include "check.h"

#include <sys/stat.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	int status, has_child = argc > 1 && strcmp(argv[1], "nobody") == 0;
	pid_t child = has_child ? fork() : 0;

	CHECK(child >= 0);
	if (child) {
		CHECK(waitpid(child, &status, 0) == child);
		return WEXITSTATUS(status);
	}
	CHECK(chroot(".") == 0);
	CHECK(!has_child || setuid(65534) == 0);
	ready();
	while (access("/go", F_OK))
		pause_ms(2);
	pass();
}
