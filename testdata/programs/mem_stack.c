/* Stack and heap keep their content and can grow after a restart. */
#include "check.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf guard_hit;
static pthread_barrier_t started;

/* deep uses about 16 KiB of stack a call, and checks it on the way back. */
static int deep(int depth)
{
	uint64_t frame[2048];

	fill(frame, sizeof frame, depth);
	if (depth == 0) {
		ready();
		await_go();
	} else {
		EQUAL(deep(depth - 1), depth - 1);
	}
	check_filled(frame, sizeof frame, depth);
	return depth;
}

static int deeper(int depth)
{
	volatile uint64_t frame[2048];

	frame[0] = depth;
	if (depth > 0)
		EQUAL(deeper(depth - 1), depth - 1);
	return (int)frame[0];
}

static void on_fault(int sig)
{
	siglongjmp(guard_hit, sig);
}

/* Below a thread's stack there is still a guard. */
static void *overrun(void *arg)
{
	pthread_attr_t attr;
	size_t guard;
	void *low;
	size_t size;
	stack_t altstack = {.ss_sp = arg, .ss_size = 65536};

	CHECK(sigaltstack(&altstack, 0) == 0);
	CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
	CHECK(pthread_attr_getguardsize(&attr, &guard) == 0 && guard > 0);
	CHECK(pthread_attr_getstack(&attr, &low, &size) == 0);
	CHECK(pthread_attr_destroy(&attr) == 0);
	pthread_barrier_wait(&started);
	await_go();
	if (!sigsetjmp(guard_hit, 1)) {
		((volatile char *)low)[-8] = 1;
		fail("no guard below the stack at %p", low);
	}
	return 0;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
	static char altstack[65536];
	char *heap = sbrk(1 << 20), *end;
	char *down = mmap(0, 1 << 16, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	pthread_t thread;

	CHECK(heap != (void *)-1 && down != MAP_FAILED);
	fill(heap, 1 << 20, 500);
	fill(down, 1 << 16, 600);
	CHECK(sigaction(SIGSEGV, &action, 0) == 0);
	CHECK(pthread_barrier_init(&started, 0, 2) == 0);
	CHECK(pthread_create(&thread, 0, overrun, altstack) == 0);
	pthread_barrier_wait(&started);
	end = sbrk(0);

	EQUAL(deep(20), 20);
	EQUAL(deeper(300), 300); /* 4.8 MB: more than was used before */
	check_filled(heap, 1 << 20, 500);
	check_filled(down, 1 << 16, 600);
	CHECK(sbrk(0) == end);
	CHECK(sbrk(4 << 20) == end);
	check_zero(end, 4 << 20);
	fill(end, 4 << 20, 700);
	check_filled(heap, 1 << 20, 500);
	CHECK(sbrk(-(4 << 20)) == end + (4 << 20));
	CHECK(pthread_join(thread, 0) == 0);
	pass();
}
