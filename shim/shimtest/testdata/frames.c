/*
 * frames REGISTER=VALUE... BYTES: makes the signal frame of a thread whose rip is after BYTES (hex), with rax -EINTR and these
 * registers. With another rax, rip is before the syscall instruction at the end of BYTES. Prints the number of the system
 * call that the thread repeats, or -1.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "resident.h"

struct own own; /* own.c is not linked */

static const struct {
	const char *name;
	int number;
} registers[] = {
	{ "rax", REG_RAX }, { "rbx", REG_RBX }, { "rsi", REG_RSI }, { "rdi", REG_RDI }, { "r8", REG_R8 },
	{ "r12", REG_R12 }, { "r14", REG_R14 },
};

static void set(ucontext_t *context, const char *name, long value)
{
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		if (strncmp(name, registers[i].name, strlen(registers[i].name)) == 0)
			context->uc_mcontext.gregs[registers[i].number] = value;
}

int main(int argc, char **argv)
{
	static unsigned char code[4096];
	const char *hex = argv[argc - 1];
	size_t n = strlen(hex) / 2;
	ucontext_t context = { 0 };
	long ip = (long)code + 1024 + n;

	for (size_t i = 0; i < n; i++)
		sscanf(hex + 2 * i, "%2hhx", &code[1024 + i]);
	context.uc_mcontext.gregs[REG_RAX] = -EINTR;
	for (int i = 1; i < argc - 1; i++)
		set(&context, argv[i], atol(strchr(argv[i], '=') + 1));
	context.uc_mcontext.gregs[REG_RIP] = context.uc_mcontext.gregs[REG_RAX] == -EINTR ? ip : ip - 2;
	context.uc_mcontext.gregs[REG_RSP] = (long)&context;
	frame_repeat_syscall(&context, NULL, NULL);
	if (context.uc_mcontext.gregs[REG_RIP] == ip)
		puts("-1");
	else if (context.uc_mcontext.gregs[REG_RIP] == ip - 2)
		printf("%lld\n", context.uc_mcontext.gregs[REG_RAX]);
	else
		puts("elsewhere");
	return 0;
}
