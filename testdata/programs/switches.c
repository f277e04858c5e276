/* Rarely used attributes: mlockall(MCL_FUTURE), sealed mappings, page merging, machine checks, the time stamp counter. */
#include "check.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
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

int main(void)
{
	char *sealed = new_page(), go[500], cwd[100];
	int merge = prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0, counter = 0;
	int seal, lock = mlockall(MCL_FUTURE) == 0;

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
	EQUAL(is_locked(), lock);
	EQUAL(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), merge);
	EQUAL(sealed[0], 1);
	EQUAL(mprotect(sealed, PAGE, PROT_READ) != 0, seal);
	CHECK(!getcwd(cwd, sizeof cwd) && errno == ENOENT);
	pass();
}
