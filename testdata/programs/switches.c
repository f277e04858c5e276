/*
 * Rarely used attributes: mlockall(MCL_FUTURE), sealed mappings, page merging, machine checks, the time stamp counter, the table of
 * futexes, and timers that are created with a chosen ID. With an argument, the process has no table of futexes of its own, and a thread.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#define PR_TIMER_CREATE_RESTORE_IDS_ON 1
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif
#ifndef PR_FUTEX_HASH
#define PR_FUTEX_HASH 78
#define PR_FUTEX_HASH_SET_SLOTS 1
#define PR_FUTEX_HASH_GET_SLOTS 2
#endif
#define SYS_MSEAL 462
#define PAGE 4096

static char *new_page(void)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	return page;
}

/* is_locked: a locked page cannot be invalidated. */
static int is_locked(void)
{
	char *page = new_page();
	int locked = msync(page, PAGE, MS_INVALIDATE) != 0;

	CHECK(!locked || errno == EBUSY);
	return locked;
}

/* No sleep here: the library may read the counter. */
static void await_go_blindly(const char *go)
{
	while (syscall(SYS_access, go, F_OK))
		syscall(SYS_nanosleep, &(struct timespec){0, 2000000}, NULL);
}

static void gone_directory(char *go)
{
	char here[400];

	CHECK(getcwd(here, sizeof here));
	snprintf(go, 500, "%s/go", here);
	CHECK(mkdir("gone", 0700) == 0 && chdir("gone") == 0 && rmdir("../gone") == 0);
}

static void *waits(void *unused)
{
	for (;;)
		syscall(SYS_pause);
	return unused;
}

/* A timer with this ID, if the kernel takes one. */
static void timer(int id)
{
	int got = id;

	CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_NONE}, &got) == 0);
	EQUAL(got, id);
}

int main(int count, char **arguments)
{
	char *sealed = new_page(), go[500], cwd[100];
	int merge = prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0, counter = 0;
	int slots = count > 1 ? 0 : 64;
	int table = prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS, slots, 0, 0) == 0;
	int ids = prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0) == 0;
	pthread_t thread;
	int seal, lock;

	(void)arguments;
	if (count > 1)
		CHECK(pthread_create(&thread, 0, waits, 0) == 0);
	lock = mlockall(MCL_FUTURE) == 0; /* it may leave no room for a stack */
	if (ids)
		timer(1234);
	new_page();
	sealed[0] = 1;
	seal = syscall(SYS_MSEAL, sealed, PAGE, 0) == 0;
	CHECK(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0);
	gone_directory(go);
	ready();
	CHECK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
	await_go_blindly(go);
	CHECK(prctl(PR_GET_TSC, &counter) == 0);
	EQUAL(counter, PR_TSC_SIGSEGV);
	CHECK(prctl(PR_SET_TSC, PR_TSC_ENABLE) == 0);
	EQUAL(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
	if (table)
		EQUAL(prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_GET_SLOTS, 0, 0, 0), slots);
	if (ids) {
		EQUAL(prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0), 1);
		timer(77);
	}
	EQUAL(is_locked(), lock);
	EQUAL(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), merge);
	EQUAL(sealed[0], 1);
	EQUAL(mprotect(sealed, PAGE, PROT_READ) != 0, seal);
	CHECK(!getcwd(cwd, sizeof cwd) && errno == ENOENT);
	pass();
}
