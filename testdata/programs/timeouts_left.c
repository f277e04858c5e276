/* cc: -fexceptions */
/* A signal of the program's own, or pthread_cancel, interrupts a call that the resident has repeated with the remaining timeout. */
#include "check.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/select.h>

#define HOUR 3600

static volatile int asleep, cleaned, jumped, interrupted;
static sigjmp_buf back;

static void about_to_sleep(void)
{
	__atomic_add_fetch(&asleep, 1, __ATOMIC_SEQ_CST);
}

static void clean(int *unused)
{
	(void)unused;
	cleaned++;
}

static __attribute__((noinline)) void sleep_with_cleanup(void)
{
	__attribute__((cleanup(clean))) int here = 0;
	struct timespec t = {HOUR, 0};

	about_to_sleep();
	nanosleep(&t, 0);
	EQUAL(here, 1); /* not reached */
}

static void *to_cancel(void *arg)
{
	sleep_with_cleanup();
	return arg;
}

static void jump(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

static void *to_jump(void *arg)
{
	struct timespec t = {HOUR, 0};

	if (sigsetjmp(back, 1) == 0) {
		about_to_sleep();
		nanosleep(&t, 0);
		fail("nanosleep returned");
	}
	EQUAL(t.tv_sec, HOUR);
	jumped = 1;
	return arg;
}

static void note(int signal)
{
	(void)signal;
}

static void *to_interrupt(void *arg)
{
	struct timespec t = {HOUR, 0}, rest = {0, 0};

	about_to_sleep();
	EQUAL(nanosleep(&t, &rest), -1);
	EQUAL(errno, EINTR);
	EQUAL(t.tv_sec, HOUR);
	CHECK(rest.tv_sec > HOUR - 600 && rest.tv_sec < HOUR);
	interrupted++;
	return arg;
}

/* Checks every register except those that a system call changes. */
static void *with_registers(void *arg)
{
	uint64_t rdi = 0, rsi = 0, rdx = HOUR * 1000, r10 = 0x1010101010101010, r8 = 0x808, r9 = 0x909;
	uint64_t rbx = 0xb0b, r12 = 0x12, r13 = 0x13;
	uint64_t before, after;
	long rax = SYS_poll;
	register uint64_t r10_ __asm__("r10") = r10;
	register uint64_t r8_ __asm__("r8") = r8;
	register uint64_t r9_ __asm__("r9") = r9;
	register uint64_t r12_ __asm__("r12") = r12;
	register uint64_t r13_ __asm__("r13") = r13;

	about_to_sleep();
	__asm__ volatile("mov %%rsp, %[before]\n\t"
			 "movq $0x5eed, -64(%%rsp)\n\t" /* in the red zone */
			 "syscall\n\t"
			 "mov %%rsp, %[after]\n\t"
			 "sub %[before], %[after]\n\t"
			 "cmpq $0x5eed, -64(%%rsp)\n\t"
			 "je 1f\n\tud2\n1:"
			 : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10_), "+r"(r8_), "+r"(r9_), "+b"(rbx), "+r"(r12_),
			   "+r"(r13_), [before] "=&r"(before), [after] "=&r"(after)
			 :
			 : "rcx", "r11", "memory", "cc");
	EQUAL(rax, -EINTR);
	EQUAL(rdi, 0);
	EQUAL(rsi, 0);
	EQUAL(rdx, HOUR * 1000);
	EQUAL(r10_, r10);
	EQUAL(r8_, r8);
	EQUAL(r9_, r9);
	EQUAL(rbx, 0xb0b);
	EQUAL(r12_, r12);
	EQUAL(r13_, r13);
	EQUAL(after, 0);
	interrupted++;
	return arg;
}

int main(void)
{
	static void *(*const bodies[])(void *) = {to_cancel, to_jump, to_interrupt, with_registers};
	static const int signals[] = {0, SIGUSR1, SIGHUP, SIGHUP};
	pthread_t threads[4];
	struct sigaction action = {.sa_handler = jump};
	struct timespec deadline;
	void *result;

	sigaction(SIGUSR1, &action, 0);
	action.sa_handler = note;
	sigaction(SIGHUP, &action, 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], 0, bodies[i], 0) == 0);
	while (asleep < 4)
		pause_ms(1);
	pause_ms(100);
	ready();
	await_go();
	CHECK(pthread_cancel(threads[0]) == 0);
	for (int i = 1; i < 4; i++)
		CHECK(pthread_kill(threads[i], signals[i]) == 0);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 20;
	for (int i = 0; i < 4; i++) {
		EQUAL(pthread_timedjoin_np(threads[i], &result, &deadline), 0);
		CHECK((result == PTHREAD_CANCELED) == (i == 0));
	}
	EQUAL(cleaned, 1);
	EQUAL(jumped, 1);
	EQUAL(interrupted, 2);
	pass();
}
