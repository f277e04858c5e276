/* tracer PID: traces the process and lets it run, until there is a file "go". */
#include "check.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	pid_t pid = argc > 1 ? atoi(argv[1]) : 0;

	CHECK(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
	ready();
	while (access("go", F_OK)) {
		int status;
		/* Each signal stops the traced process: deliver it and let the process continue. */
		if (waitpid(pid, &status, WNOHANG | __WALL) == pid && WIFSTOPPED(status))
			CHECK(ptrace(PTRACE_CONT, pid, 0, status >> 16 ? 0 : WSTOPSIG(status)) == 0);
		pause_ms(1);
	}
	pass();
}
