/* clears: has a child without signal handlers (clone3(2), CLONE_CLEAR_SIGHAND), and copies lines. */
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
	long child = syscall(SYS_clone3, &args, sizeof(args));
	char line[100];

	if (child < 0)
		return 1;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	while (fgets(line, sizeof(line), stdin))
		if (fputs(line, stdout) < 0 || fflush(stdout) != 0)
			return 1;
	return 0;
}
