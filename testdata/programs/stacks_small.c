/*
 * Threads whose stacks have room for the kernel's signal frame and nothing else: alternate stacks of the smallest size, with the
 * stack pointer on an ordinary stack or at no memory at all, and coroutines' stacks of 4 KiB. Below each is a guard
 * page. A checkpoint must write nothing to these stacks except the kernel's signal frame.
 *
 * stacks_small [saved] [N]: N further threads, by default 0. saved: the program reads the action of SIGUSR2 by sigaction(3) and
 * sets it again, so that it has libc's restorer.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define PAGE 4096
#define PATTERN 0x5a

/* The handler of SIGUSR1: stores the address of the kernel's ucontext at the address in r12. */
void note(int, siginfo_t *, void *);

/* Sets the stack pointer, raises SIGUSR1, and sleeps until there is a file go. vectors: 1 uses AVX registers, 2 AVX-512, 0 none. */
void sleep_at(void *sp, char **context, int vectors);

__asm__(".text\n"
	"note:	mov %rdx, (%r12)\n"
	"	ret\n"
	"sleep_at:\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	mov %rsp, %rbx\n"
	"	mov %rsi, %r12\n"
	"	mov %rdi, %rsp\n"
	"	cmp $1, %edx\n"
	"	jb 2f\n"
	"	vpcmpeqd %xmm0, %xmm0, %xmm0\n"
	"	vinsertf128 $1, %xmm0, %ymm0, %ymm0\n"
	"	je 2f\n"
	"	vpternlogd $255, %zmm0, %zmm0, %zmm0\n"
	"	vpternlogd $255, %zmm31, %zmm31, %zmm31\n"
	"	kxnorw %k1, %k1, %k1\n"
	"2:	mov $39, %eax\n" /* getpid */
	"	syscall\n"
	"	mov %eax, %edi\n"
	"	mov $186, %eax\n" /* gettid */
	"	syscall\n"
	"	mov %eax, %esi\n"
	"	mov $10, %edx\n" /* SIGUSR1 */
	"	mov $234, %eax\n" /* tgkill */
	"	syscall\n"
	"	lock incl asleep(%rip)\n"
	"1:	mov $35, %eax\n" /* nanosleep */
	"	lea moment(%rip), %rdi\n"
	"	xor %esi, %esi\n"
	"	syscall\n"
	"	mov $21, %eax\n" /* access */
	"	lea go(%rip), %rdi\n"
	"	xor %esi, %esi\n"
	"	syscall\n"
	"	test %eax, %eax\n"
	"	jnz 1b\n"
	"	mov %rbx, %rsp\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	ret\n"
	".data\n"
	"asleep: .long 0\n"
	"moment: .quad 0, 10000000\n"
	"go:	.asciz \"go\"\n"
	".text\n");

extern volatile int asleep;

static int vectors;

/* Returns size bytes above a guard page. */
static char *above_guard(size_t size)
{
	size_t whole = (size + PAGE - 1) / PAGE * PAGE;
	char *area = mmap(0, PAGE + whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(area != MAP_FAILED && mprotect(area, PAGE, PROT_NONE) == 0);
	return memset(area + PAGE, PATTERN, whole);
}

static void check_untouched(const char *from, const char *to)
{
	for (const char *p = from; p < to; p++)
		if (*p != PATTERN)
			fail("%zd bytes below the kernel's frame are overwritten", to - p);
}

/* This thread prints READY when this number of other threads sleeps; -1: it prints nothing. */
static __thread int announces = -1;

/* Called when the thread has made all its mappings, just before it sleeps. */
static void announce(void)
{
	if (announces < 0)
		return;
	while (asleep < announces)
		pause_ms(1);
	ready();
}

static void alternate(int elsewhere)
{
	size_t size = getauxval(AT_MINSIGSTKSZ) ? getauxval(AT_MINSIGSTKSZ) : 2048;
	stack_t stack = {.ss_sp = above_guard(size), .ss_size = size}, none = {.ss_flags = SS_DISABLE};
	char ordinary[8192] __attribute__((aligned(16)));
	char *context = NULL;

	CHECK(sigaltstack(&stack, NULL) == 0);
	announce();
	sleep_at(elsewhere ? (char *)16 : ordinary + sizeof(ordinary), &context, vectors);
	CHECK(sigaltstack(&none, NULL) == 0);
	check_untouched(stack.ss_sp, context - 8);
}

static void coroutine(void)
{
	char *stack = above_guard(PAGE), *context = NULL;

	announce();
	sleep_at(stack + PAGE, &context, vectors);
	check_untouched(stack, context - 8);
}

static void *work(void *arg)
{
	switch ((uintptr_t)arg % 3) {
	case 0:
		coroutine();
		break;
	case 1:
		alternate(1);
		break;
	case 2:
		alternate(0);
		break;
	}
	return arg;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_ONSTACK}, trigger;
	int saved = argc > 1 && strcmp(argv[1], "saved") == 0;
	intptr_t count = argc > 1 + saved ? atoi(argv[1 + saved]) : 0;
	pthread_t threads[100];

	vectors = __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
	CHECK(count < 100 && sigaction(SIGUSR1, &action, NULL) == 0);
	if (saved)
		CHECK(sigaction(SIGUSR2, NULL, &trigger) == 0 && sigaction(SIGUSR2, &trigger, NULL) == 0);
	for (intptr_t i = 0; i < count; i++)
		CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
	announces = count;
	work((void *)(intptr_t)(count == 0)); /* alone: with a stack pointer to no memory; else on a coroutine's stack */
	for (intptr_t i = 0; i < count; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	pass();
}
