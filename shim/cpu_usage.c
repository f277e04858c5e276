/* getrusage(2) and times(2) with the CPU time that was used before the last restart (cpu_time.c). */

#include <errno.h>
#include <sys/resource.h>
#include <sys/times.h>

#include "resident.h"

static void add_us(struct timeval *time, int64_t us)
{
	us += time->tv_usec;
	time->tv_sec += us / 1000000;
	time->tv_usec = us % 1000000;
}

EXPORT int getrusage(__rusage_who_t who, struct rusage *usage)
{
	const struct abi_cpu_time *before = &cpu_none;
	long error = SYSCALL_2(SYS_getrusage, who, usage);

	if (error) {
		errno = -error;
		return -1;
	}
	if (who == RUSAGE_SELF)
		before = &own.cpu.process;
	else if (who == RUSAGE_CHILDREN)
		before = &own.cpu.children;
	else if (who == RUSAGE_THREAD)
		before = cpu_of_thread(SYSCALL_0(SYS_gettid));
	add_us(&usage->ru_utime, before->user_us);
	add_us(&usage->ru_stime, before->system_us);
	return 0;
}

#define TICK_US 10000 /* sysconf(_SC_CLK_TCK) is 100 on amd64 */

EXPORT clock_t times(struct tms *used)
{
	long now = SYSCALL_1(SYS_times, used);

	if (now == -EFAULT) { /* any other negative result is a valid time (times(2), BUGS) */
		errno = EFAULT;
		return -1;
	}
	if (used) {
		used->tms_utime += own.cpu.process.user_us / TICK_US;
		used->tms_stime += own.cpu.process.system_us / TICK_US;
		used->tms_cutime += own.cpu.children.user_us / TICK_US;
		used->tms_cstime += own.cpu.children.system_us / TICK_US;
	}
	return now;
}
