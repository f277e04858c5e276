/*
 * rseq areas (restartable sequences). GLIBC_TUNABLES tells glibc to register none: the main thread registers its own, another
 * thread has none. "glibc": glibc registers its areas, and a thread that is made by clone(2) has none.
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

/* This thread has no area: the kernel accepts the first that it registers. With "glibc" it shares errno with the main thread. */
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
