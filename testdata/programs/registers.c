/* cc: -lm */
/* Every register keeps its value in loops that make no system call: general, x87, SSE, AVX, AVX-512, and the control words. */
#include "check.h"

#include <fenv.h>
#include <immintrin.h>
#include <pthread.h>

static volatile int go;
static pthread_barrier_t started;

static void *general(void *arg)
{
	uint64_t out[8];

	(void)arg;
	pthread_barrier_wait(&started);
	__asm__ volatile("mov $0x1111111111111111, %%r8\n\t"
			 "mov $0x2222222222222222, %%r9\n\t"
			 "mov $0x3333333333333333, %%r10\n\t"
			 "mov $0x4444444444444444, %%r11\n\t"
			 "mov $0x5555555555555555, %%r12\n\t"
			 "mov $0x6666666666666666, %%r13\n\t"
			 "mov $0x7777777777777777, %%r14\n\t"
			 "std\n\t" /* sets the direction flag, DF */
			 "1: cmpl $0, %[go]\n\t"
			 "je 1b\n\t"
			 "pushfq\n\t"
			 "pop %%r15\n\t"
			 "cld\n\t"
			 "mov %%r8, 0(%[out])\n\t"
			 "mov %%r9, 8(%[out])\n\t"
			 "mov %%r10, 16(%[out])\n\t"
			 "mov %%r11, 24(%[out])\n\t"
			 "mov %%r12, 32(%[out])\n\t"
			 "mov %%r13, 40(%[out])\n\t"
			 "mov %%r14, 48(%[out])\n\t"
			 "mov %%r15, 56(%[out])\n\t"
			 :
			 : [go] "m"(go), [out] "r"(out)
			 : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	for (uint64_t i = 0; i < 7; i++)
		CHECK(out[i] == (i + 1) * 0x1111111111111111);
	CHECK(out[7] & 0x400); /* DF */
	return 0;
}

static void *floating(void *arg)
{
	double top, next;
	uint16_t control = 0x0c7f, control_after; /* round towards zero, double */
	uint32_t mxcsr = 0x9f80, mxcsr_after;     /* round up, flush to zero */

	(void)arg;
	pthread_barrier_wait(&started);
	__asm__ volatile("fldcw %[control]\n\t"
			 "ldmxcsr %[mxcsr]\n\t"
			 "fldpi\n\t"
			 "fldl2e\n\t"
			 "1: cmpl $0, %[go]\n\t"
			 "je 1b\n\t"
			 "fstpl %[top]\n\t"
			 "fstpl %[next]\n\t"
			 "fnstcw %[control_after]\n\t"
			 "stmxcsr %[mxcsr_after]\n\t"
			 : [top] "=m"(top), [next] "=m"(next), [control_after] "=m"(control_after),
			   [mxcsr_after] "=m"(mxcsr_after)
			 : [go] "m"(go), [control] "m"(control), [mxcsr] "m"(mxcsr)
			 : "st", "st(1)", "cc");
	EQUAL(control_after, control);
	EQUAL(mxcsr_after & 0xffc0, mxcsr);
	CHECK(top > 1.442695 && top < 1.442696);
	CHECK(next > 3.141592 && next < 3.141593);
	return 0;
}

#define EACH_VECTOR(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)

/* vectors loads 16 registers of `bytes` each, waits, and stores them. */
#define VECTORS(name, bytes, isa)                                                                   \
	__attribute__((target(isa))) static void *name(void *arg)                                   \
	{                                                                                           \
		static char in[16 * bytes] __attribute__((aligned(64)));                            \
		static char out[16 * bytes] __attribute__((aligned(64)));                           \
		(void)arg;                                                                          \
		fill(in, sizeof in, bytes);                                                         \
		pthread_barrier_wait(&started);                                                     \
		__asm__ volatile(EACH_VECTOR(LOAD_##name) "1: cmpl $0, %[go]\n\tje 1b\n\t"          \
				 EACH_VECTOR(STORE_##name)                                          \
				 :                                                                  \
				 : [go] "m"(go), [in] "r"(in), [out] "r"(out)                       \
				 : "memory", "cc", CLOBBERS);                                       \
		check_filled(out, sizeof out, bytes);                                               \
		return 0;                                                                           \
	}
#define CLOBBERS                                                                                    \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",    \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define LOAD_sse(n) "movaps 16*" #n "(%[in]), %%xmm" #n "\n\t"
#define STORE_sse(n) "movaps %%xmm" #n ", 16*" #n "(%[out])\n\t"
#define LOAD_avx(n) "vmovaps 32*" #n "(%[in]), %%ymm" #n "\n\t"
#define STORE_avx(n) "vmovaps %%ymm" #n ", 32*" #n "(%[out])\n\t"
#define LOAD_avx512(n) "vmovaps 64*" #n "(%[in]), %%zmm" #n "\n\t"
#define STORE_avx512(n) "vmovaps %%zmm" #n ", 64*" #n "(%[out])\n\t"
VECTORS(sse, 16, "sse2")
VECTORS(avx, 32, "avx")
VECTORS(avx512, 64, "avx512f")

int main(void)
{
	void *(*work[5])(void *) = {general, floating, sse};
	pthread_t threads[5];
	int count = 3;

	if (__builtin_cpu_supports("avx"))
		work[count++] = avx;
	if (__builtin_cpu_supports("avx512f"))
		work[count++] = avx512;
	CHECK(pthread_barrier_init(&started, 0, count + 1) == 0);
	for (int i = 0; i < count; i++)
		CHECK(pthread_create(&threads[i], 0, work[i], 0) == 0);
	CHECK(fesetround(FE_DOWNWARD) == 0);
	pthread_barrier_wait(&started);
	pause_ms(5); /* the threads reach their loops */
	ready();
	await_go();
	go = 1;
	for (int i = 0; i < count; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	EQUAL(fegetround(), FE_DOWNWARD);
	pass();
}
