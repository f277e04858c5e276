/* As PHP does: a handler that only takes a note, and calls the one that was there before it when the program gets to it. */
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
	context = where; /* gone by the time that it is used */
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
		memset(litter, 0xfc, sizeof(litter)); /* rax is -4, EINTR, in what was the context */
		__asm__ volatile("" : : "r"(litter) : "memory");
		if (noted) {
			noted = 0;
			before.sa_sigaction(SIGUSR2, &info, context);
		}
		usleep(1000); /* which our own signal may end */
	}
	pass();
}
