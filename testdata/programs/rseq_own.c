/*
 * Areas of restartable sequences that are not glibc's (which is told by GLIBC_TUNABLES to have none): the main
 * thread has its own, another thread none. "glibc": glibc's, and a thread made behind its back that has none.
 */
#include "check.h"

#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>

enum { SIGNATURE = 0x12345678 };
static struct rseq area __attribute__((aligned(32)));
static volatile int bare_is_up, go;
static char stack[65536] __attribute__((aligned(16)));

static int registered(struct rseq *rseq)
{
	return syscall(SYS_rseq, rseq, 32, 0, SIGNATURE) == -1 && errno == EBUSY;
}

static void follows(void)
{
	cpu_set_t one;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof one, &one) == 0)
			EQUAL(*(volatile uint32_t *)&area.cpu_id, cpu);
	}
}

/* Has none: the first it registers is taken. Its errno is the main thread's, in "glibc". */
static int bare(void *unused)
{
	static struct rseq first __attribute__((aligned(32)));

	bare_is_up = 1;
	while (!go)
		syscall(SYS_sched_yield);
	if (syscall(SYS_rseq, &first, 32, 0, SIGNATURE))
		fail("a thread without an area has got one (%p)", unused);
	go = 2;
	syscall(SYS_exit, 0);
	return 0;
}

static void *thread(void *unused)
{
	bare(unused);
	return unused;
}

int main(int argc, char **argv)
{
	int glibc = argc > 1 && strcmp(argv[1], "glibc") == 0;
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	pthread_t other;

	if (glibc) {
		CHECK(clone(bare, stack + sizeof stack, flags, 0) > 0);
	} else {
		CHECK(syscall(SYS_rseq, &area, 32, 0, SIGNATURE) == 0);
		follows();
		CHECK(pthread_create(&other, 0, thread, 0) == 0);
	}
	while (!bare_is_up)
		pause_ms(1);
	ready();
	await_go();
	if (!glibc) {
		CHECK(registered(&area));
		follows();
	}
	go = 1;
	while (go != 2)
		pause_ms(1);
	pass();
}
