/*
 * Keeping the Go runtime asleep in a program that only preloads the library.
 *
 * Its constructor (runtime.libpreinit) installs handlers for SIGSEGV and its
 * like and then starts a thread. The thread is never started (pthread.c); the
 * handlers are taken back here: noted before its constructor, which has no
 * priority, and put back after it, by ours.
 */

#include "resident.h"

#define SIGNALS 64

static struct kernel_sigaction before[SIGNALS + 1];

static void __attribute__((constructor(101))) note_actions(void)
{
	for (int signal = 1; signal <= SIGNALS; signal++)
		SYSCALL_4(SYS_rt_sigaction, signal, NULL, &before[signal], 8);
}

void put_back_actions(void)
{
	struct kernel_sigaction now;

	for (int signal = 1; signal <= SIGNALS; signal++) {
		SYSCALL_4(SYS_rt_sigaction, signal, NULL, &now, 8);
		if (now.handler != before[signal].handler)
			SYSCALL_4(SYS_rt_sigaction, signal, &before[signal], NULL, 8);
	}
}
