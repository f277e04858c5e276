/* Scheduling of single threads: policy, priority, nice, affinity, timer slack, I/O priority. */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define COUNT 7
#define IOPRIO(class, level) ((class) << 13 | (level))

static pthread_barrier_t started;
static volatile int go;

struct settings {
	int policy, priority, nice, ioprio;
	long slack;
	cpu_set_t cpus;
};

static void look(struct settings *s)
{
	struct sched_param param;

	memset(s, 0, sizeof *s);
	s->policy = sched_getscheduler(0);
	CHECK(sched_getparam(0, &param) == 0);
	s->priority = param.sched_priority;
	s->nice = getpriority(PRIO_PROCESS, 0);
	s->ioprio = syscall(SYS_ioprio_get, 1, 0);
	s->slack = prctl(PR_GET_TIMERSLACK);
	CHECK(sched_getaffinity(0, sizeof s->cpus, &s->cpus) == 0);
}

/* Each thread has other settings; real-time policies only where the machine allows them. */
static void take(int number)
{
	struct sched_param param = {0};
	cpu_set_t cpus;

	switch (number) {
	case 0:
		CHECK(sched_setscheduler(0, SCHED_BATCH, &param) == 0);
		CHECK(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 4) == 0);
		break;
	case 1:
		CHECK(sched_setscheduler(0, SCHED_IDLE, &param) == 0);
		break;
	case 2:
		CHECK(syscall(SYS_ioprio_set, 1, 0, IOPRIO(2, 6)) == 0);
		CHECK(setpriority(PRIO_PROCESS, 0, 19) == 0);
		break;
	case 3:
		CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
		for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
			if (CPU_ISSET(cpu, &cpus)) {
				CPU_ZERO(&cpus);
				CPU_SET(cpu, &cpus);
				break;
			}
		CHECK(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
		break;
	case 4:
		CHECK(prctl(PR_SET_TIMERSLACK, 123456) == 0);
		CHECK(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 2) == 0);
		break;
	case 6: /* with this policy the nice value has no effect, but the kernel keeps it */
		param.sched_priority = 0;
		CHECK(setpriority(PRIO_PROCESS, 0, 9) == 0);
		CHECK(sched_setscheduler(0, SCHED_IDLE, &param) == 0);
		break;
	case 5:
		param.sched_priority = 11;
		if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param))
			CHECK(errno == EPERM);
		break;
	}
}

static void *work(void *arg)
{
	int number = (int)(intptr_t)arg;
	struct settings before, after;

	take(number);
	look(&before);
	pthread_barrier_wait(&started);
	while (!go)
		pause_ms(1);
	look(&after);
	EQUAL(after.policy, before.policy);
	EQUAL(after.priority, before.priority);
	EQUAL(after.nice, before.nice);
	EQUAL(after.ioprio, before.ioprio);
	EQUAL(after.slack, before.slack);
	CHECK(CPU_EQUAL(&after.cpus, &before.cpus));
	return 0;
}

int main(void)
{
	pthread_t threads[COUNT];

	CHECK(pthread_barrier_init(&started, 0, COUNT + 1) == 0);
	for (int i = 0; i < COUNT; i++)
		CHECK(pthread_create(&threads[i], 0, work, (void *)(intptr_t)i) == 0);
	pthread_barrier_wait(&started);
	ready();
	await_go();
	go = 1;
	for (int i = 0; i < COUNT; i++)
		CHECK(pthread_join(threads[i], 0) == 0);
	pass();
}
