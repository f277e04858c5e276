/*
 * After a restart the kernel counts CPU time from 0. These functions add the time that was used before the restart. It is in
 * own.cpu, which is all zero in a process that was never restarted. For clock_gettime, a restart patches the vDSO to call
 * crak_cpu_clock. cpu_usage.c and cpu_until.c interpose the other functions in every program.
 */

#include <sys/resource.h>
#include <time.h>

#include "resident.h"

struct abi_cpu_thread cpu_threads[ABI_CPU_THREADS_MAX];

const struct abi_cpu_time cpu_none;

/* Returns the time that a thread had used before the restart: zero for a thread that was created after it. */
const struct abi_cpu_time *cpu_of_thread(int tid)
{
	unsigned low = 0, high = own.cpu.threads;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (cpu_threads[middle].tid == tid)
			return &cpu_threads[middle].used;
		if (cpu_threads[middle].tid < tid)
			low = middle + 1;
		else
			high = middle;
	}
	return &cpu_none;
}

/* Kinds of clock in the low bits of a negative clockid_t (include/linux/posix-timers_types.h). */
enum { CLOCK_OF_THREAD = 4, KIND = 3, PROFILING = 0, VIRTUAL = 1, SCHEDULED = 2 };

/* Returns the nanoseconds that a CPU time clock had counted before the restart, or 0 for any other clock. */
int64_t cpu_before(int clock)
{
	const struct abi_cpu_time *used;
	int id = ~(clock >> 3);

	if (clock == CLOCK_PROCESS_CPUTIME_ID)
		return own.cpu.process.total_ns;
	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return cpu_of_thread(SYSCALL_0(SYS_gettid))->total_ns;
	if (clock >= 0)
		return 0;
	if (clock & CLOCK_OF_THREAD)
		used = cpu_of_thread(id ? id : SYSCALL_0(SYS_gettid));
	else
		used = id == 0 || id == SYSCALL_0(SYS_getpid) ? &own.cpu.process : &cpu_none;
	switch (clock & KIND) {
	case PROFILING:
		return (used->user_us + used->system_us) * 1000;
	case VIRTUAL:
		return used->user_us * 1000;
	case SCHEDULED:
		return used->total_ns;
	}
	return 0;
}

/* Called by crak_cpu_clock. It must not change vector registers, which crak_cpu_clock does not save. */
__attribute__((used, target("general-regs-only"))) long cpu_clock_gettime(int clock, struct timespec *now)
{
	long error = SYSCALL_2(SYS_clock_gettime, clock, now);
	int64_t before;

	if (error)
		return error;
	before = cpu_before(clock);
	now->tv_sec += before / 1000000000;
	now->tv_nsec += before % 1000000000;
	if (now->tv_nsec >= 1000000000) {
		now->tv_nsec -= 1000000000;
		now->tv_sec++;
	}
	return 0;
}

static int64_t microseconds(const struct timeval *time)
{
	return time->tv_sec * 1000000ll + time->tv_usec;
}

/* Records the CPU time that the calling thread has used, over all restarts. */
__attribute__((noinline)) void cpu_note(struct abi_thread *thread)
{
	const struct abi_cpu_time *before = cpu_of_thread(thread->tid);
	struct rusage usage = { 0 };
	struct timespec now = { 0, 0 };

	SYSCALL_2(SYS_getrusage, RUSAGE_THREAD, &usage);
	SYSCALL_2(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &now);
	thread->cpu.total_ns = before->total_ns + now.tv_sec * 1000000000ll + now.tv_nsec;
	thread->cpu.user_us = before->user_us + microseconds(&usage.ru_utime);
	thread->cpu.system_us = before->system_us + microseconds(&usage.ru_stime);
}

/*
 * Converts an absolute time of the program's CPU time clock to the kernel's count, which started at the restart. A time in the
 * past becomes 1 ns, which is also in the past: 0 would disarm a timer. A time that is invalid, or 0, stays unchanged.
 */
void cpu_shift(struct timespec *time, int clock)
{
	int64_t before = cpu_before(clock), ns;

	if (time->tv_sec < 0 || time->tv_sec > INT64_MAX / 2000000000 || time->tv_nsec < 0 || time->tv_nsec >= 1000000000)
		return;
	ns = time->tv_sec * 1000000000ll + time->tv_nsec;
	if (before == 0 || ns == 0)
		return;
	ns = ns > before ? ns - before : 1;
	*time = (struct timespec){ ns / 1000000000, ns % 1000000000 };
}
