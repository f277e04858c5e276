/* An alternate signal stack of 2048 bytes, MINSIGSTKSZ of older programs. On a processor with AVX-512 no signal frame fits into it. */
#include "check.h"

#include <signal.h>
#include <sys/mman.h>

#define SIZE 2048

int main(void)
{
	char *area = mmap(0, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = {.ss_sp = area + 4096, .ss_size = SIZE}, now;

	CHECK(area != MAP_FAILED && mprotect(area + 4096, 4096, PROT_READ | PROT_WRITE) == 0);
	if (sigaltstack(&stack, 0)) {
		EQUAL(errno, ENOMEM); /* this kernel refuses it (CONFIG_STRICT_SIGALTSTACK_SIZE) */
		stack.ss_size = 1 << 16;
		stack.ss_sp = malloc(stack.ss_size);
		CHECK(sigaltstack(&stack, 0) == 0);
	}
	ready();
	await_go();
	CHECK(sigaltstack(0, &now) == 0);
	CHECK(now.ss_sp == stack.ss_sp && now.ss_size == stack.ss_size);
	pass();
}
