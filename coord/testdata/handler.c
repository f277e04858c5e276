/* handler: has a handler for signal 33, copies a line, sleeps 300 ms, and executes cat with the library that LD_PRELOAD_LATER names. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void handle(int signal)
{
	(void)signal;
	_exit(1); /* without libcrak.so the program gets no signal */
}

int main(void)
{
	struct {
		void (*handler)(int);
		unsigned long flags, restorer, mask;
	} action = {handle, 0, 0, 0};
	char line[100];

	if (syscall(SYS_rt_sigaction, 33, &action, NULL, sizeof(action.mask)) != 0)
		return 1;
	setvbuf(stdin, NULL, _IONBF, 0);
	if (!fgets(line, sizeof(line), stdin) || fputs(line, stdout) < 0 || fflush(stdout) != 0)
		return 1;
	usleep(300000); /* how long the program has no library is what the test is about */
	setenv("LD_PRELOAD", getenv("LD_PRELOAD_LATER"), 1);
	execl("/bin/cat", "cat", NULL);
	return 1;
}
