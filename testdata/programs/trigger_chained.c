/*
 * The program's handler of SIGUSR2 saves its arguments. Later, outside of the handler, the program calls the previous handler (the
 * resident's) with them, as PHP does. The ucontext is no longer valid then.
 */
#include "check.h"

#include <signal.h>

static struct sigaction before;
static volatile sig_atomic_t noted;
static siginfo_t info;
static void *context;

static void note(int signal, siginfo_t *about, void *where)
{
	(void)signal;
	info = *about;
	context = where; /* points to a stack frame that is reused before the program uses the pointer */
	noted = 1;
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
	char litter[8192];

	CHECK(sigaction(SIGUSR2, &action, &before) == 0);
	CHECK(before.sa_flags & SA_SIGINFO);
	ready();
	while (access("go", F_OK)) {
		memset(litter, 0xfc, sizeof(litter)); /* overwrites the old ucontext: rax in it becomes -4, as for EINTR */
		__asm__ volatile("" : : "r"(litter) : "memory");
		if (noted) {
			noted = 0;
			before.sa_sigaction(SIGUSR2, &info, context);
		}
		usleep(1000); /* SIGUSR2 may interrupt this sleep */
	}
	pass();
}
