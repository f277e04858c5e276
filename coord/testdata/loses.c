/*
 * A program that loses an order each time it gets SIGUSR1: it has a handler for the freeze signal that does nothing, until that handler
 * has been called once. So it is after glibc has installed its own handler (pthread_create). It copies its input to its output. The exit
 * status is 0 if it has lost as many orders as it was asked to.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

enum { FREEZE_SIGNAL = 33 };

static struct kernel_sigaction before;
static volatile sig_atomic_t asked, lost;

/* The function sigaction of libc refuses this signal. */
static void set(const struct kernel_sigaction *new, struct kernel_sigaction *old)
{
	if (syscall(SYS_rt_sigaction, FREEZE_SIGNAL, new, old, 8))
		_exit(1);
}

static void lose(int signal)
{
	(void)signal;
	lost++;
	set(&before, NULL);
}

static void ask(int signal)
{
	struct kernel_sigaction losing;

	(void)signal;
	asked++;
	set(NULL, &before);
	losing = before;
	losing.handler = lose;
	set(&losing, NULL);
	if (write(1, "\n", 1) != 1)
		_exit(1);
}

int main(void)
{
	struct sigaction action = { .sa_handler = ask, .sa_flags = SA_RESTART };
	char c;

	sigaction(SIGUSR1, &action, NULL);
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return asked != lost || asked == 0;
}
