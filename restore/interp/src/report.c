/* Messages to Go. */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/syscall.h>

#include "interp.h"

__attribute__((visibility("hidden"))) void interp_report(int control, unsigned kind, unsigned program,
							  unsigned instruction, long result)
{
	struct interp_report report = {
		.kind = kind,
		.tid = (int)sys(SYS_gettid, 0, 0, 0, 0),
		.program = program,
		.instruction = instruction,
		.result = result,
	};
	unsigned long long args[6] = { control, address(&report), sizeof report, MSG_NOSIGNAL, 0, 0 };
	interp_call(args, SYS_sendto);
}

__attribute__((visibility("hidden"))) _Noreturn void interp_fail(int control, unsigned program,
								  unsigned instruction, long result)
{
	interp_report(control, INTERP_FAILED, program, instruction, result);
	for (;;)
		sys(SYS_exit_group, 127, 0, 0, 0);
}
