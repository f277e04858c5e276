/*
 * Files in /proc about other processes of the group: about a child, the parent, a thread and a zombie, also a directory. Parent and
 * child share some of them, with one offset. The program reads a part of each before the checkpoint. And files of /proc/sys, of which
 * each namespace has its own.
 */
#include "group.h"

#include <pthread.h>

static int own, of_child;
static volatile pid_t tid;

static void *thread(void *unused)
{
	(void)unused;
	tid = gettid();
	CHECK(prctl(PR_SET_NAME, "other thread") == 0);
	mark("thread");
	for (;;)
		pause();
}

static int opened(const char *format, int id, const char *begin)
{
	char path[50], got[100];
	int fd;

	snprintf(path, sizeof path, format, id);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	EQUAL(read(fd, got, strlen(begin)), strlen(begin));
	CHECK(memcmp(got, begin, strlen(begin)) == 0);
	return fd;
}

static void rest(int fd, const char *want)
{
	char got[8192];
	ssize_t n = read(fd, got, sizeof got - 1);

	CHECK(n > 0);
	got[n] = 0;
	if (strncmp(got, want, strlen(want)))
		fail("have %.100s, want %s", got, want);
}

static int other(long unused)
{
	int parent = opened("/proc/%d/comm", getppid(), "proc");

	(void)unused;
	mark("opened");
	await_mark("second");
	rest(parent, "_others");
	CHECK(lseek(own, 2, SEEK_SET) == 2);
	CHECK(faccessat(of_child, "status", R_OK, 0) == 0);
	return 0;
}

static const char *const sysctls[] = {"/proc/sys/kernel/pid_max", "/proc/sys/kernel/shmmni", "/proc/sys/net/core/somaxconn", "/proc/sys/vm/swappiness"};
#define SYSCTLS (sizeof sysctls / sizeof sysctls[0])

int main(void)
{
	int stat, comm, dead, task, values[SYSCTLS];
	char begin[30], path[50];
	pthread_t one;
	pid_t pid, zombie;

	own = opened("/proc/%d/stat", getpid(), "");
	zombie = fork();
	if (zombie == 0)
		_exit(0);
	await_state(zombie, 'Z');
	snprintf(begin, sizeof begin, "%d (proc", zombie);
	dead = opened("/proc/%d/stat", zombie, begin);
	snprintf(path, sizeof path, "/proc/%d", getpid());
	of_child = open(path, O_RDONLY | O_DIRECTORY);
	pid = child(other, 0);
	await_mark("opened");
	snprintf(begin, sizeof begin, "%d (pr", pid);
	stat = opened("/proc/%d/stat", pid, begin);
	CHECK(pthread_create(&one, 0, thread, 0) == 0);
	await_mark("thread");
	comm = opened("/proc/self/task/%d/comm", tid, "other");
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	task = open(path, O_PATH | O_DIRECTORY);
	CHECK(task >= 0);
	for (unsigned i = 0; i < SYSCTLS; i++)
		values[i] = opened(sysctls[i], 0, "");
	ready();
	await_go();

	rest(stat, "oc_others) ");
	rest(comm, " thread");
	rest(dead, "_others) Z");
	snprintf(path, sizeof path, "%d/comm", pid);
	CHECK(faccessat(task, path, R_OK, 0) == 0);
	for (unsigned i = 0; i < SYSCTLS; i++) {
		struct stat have, want;

		CHECK(fstat(values[i], &have) == 0 && fstatat(AT_FDCWD, sysctls[i], &want, 0) == 0);
		EQUAL(have.st_ino, want.st_ino);
		CHECK(read(values[i], path, sizeof path) > 0);
	}
	mark("second");
	reap(pid, 0);
	reap(zombie, 0);
	EQUAL(lseek(own, 0, SEEK_CUR), 2);
	pass();
}
