/*
 * pids_high: waits until it is in another PID namespace. Then it makes a child whose PID is as high as the namespace allows, which since Linux
 * 6.14 can be higher than elsewhere on the machine.
 */
#include "group.h"

static int waits(long pid)
{
	mark("child");
	await_go();
	EQUAL(getpid(), pid);
	return 3;
}

int main(void)
{
	const int most = 4194303; /* PID_MAX_LIMIT - 1 */
	char before[64] = "", now[64] = "", last[16];
	int fd;
	pid_t pid;

	CHECK(readlink("/proc/self/ns/pid", before, sizeof before - 1) > 0);
	ready();
	do {
		pause_ms(1); /* nothing tells a program that it has been restarted */
		CHECK(readlink("/proc/self/ns/pid", now, sizeof now - 1) > 0);
	} while (!strcmp(before, now) && access("go", F_OK));
	fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	snprintf(last, sizeof last, "%d", most - 1);
	if (write(fd, last, strlen(last)) < 0)
		EQUAL(errno, EINVAL); /* the limit is lower: the child gets any PID */
	CHECK(close(fd) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(waits(getpid()));
	await_go();
	reap(pid, 3);
	pass();
}
