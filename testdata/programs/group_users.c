/* Run by root: a group whose processes have different users, groups, capabilities, securebits and no_new_privs. They share memory. */
#include "credentials.h"

#include <linux/securebits.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum kind { ORDINARY, GROUPS, CAPABLE, LOCKED, PARENT, HIDDEN, KINDS };

static struct shared {
	atomic_int ready, go;
} *shared;

static void become(enum kind kind)
{
	static const gid_t groups[] = {4000, 5, 60};

	switch (kind) {
	case KINDS:
		return;
	case ORDINARY: /* as su(1) does it */
		CHECK(setgroups(0, NULL) == 0 && setresgid(3001, 3001, 3001) == 0 && setresuid(3000, 3000, 3000) == 0);
		break;
	case GROUPS: /* a server with further groups, which can get no privilege by exec */
		CHECK(setgroups(3, groups) == 0 && setresgid(3003, 3003, 3003) == 0 && setresuid(3002, 3002, 3002) == 0);
		CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		break;
	case CAPABLE:
		CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
		CHECK(setgroups(0, NULL) == 0 && setresgid(3001, 3001, 3001) == 0 && setresuid(3004, 3004, 3004) == 0);
		set_caps(1 << CAP_NET_BIND_SERVICE, 1 << CAP_NET_BIND_SERVICE | 1 << CAP_CHOWN, 1 << CAP_NET_BIND_SERVICE);
		CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);
		break;
	case LOCKED:
		CHECK(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED) == 0);
		CHECK(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) == 0);
		set_caps(1 << CAP_SETUID, 1 << CAP_SETUID, 0);
		break;
	case PARENT:
	case HIDDEN: /* they are not dumpable, because they have changed their user */
		CHECK(setgroups(0, NULL) == 0 && setresgid(3001, 3001, 3001) == 0 && setresuid(3000, 3000, 3000) == 0);
		return;
	}
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
}

/* One process: it checks after the restart that it still is who it was, and that it has no way back to root. */
static void work(enum kind kind)
{
	struct credentials before, after;
	int dumpable = prctl(PR_GET_DUMPABLE), locked = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);

	take(&before);
	shared->ready++;
	while (!shared->go)
		pause_ms(1); /* until the parent has set go */
	take(&after);
	CHECK(!memcmp(&after, &before, sizeof after));
	EQUAL(prctl(PR_GET_DUMPABLE), dumpable);
	EQUAL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), locked);
	if (kind != LOCKED)
		CHECK(setresuid(0, 0, 0) == -1);
}

int main(void)
{
	pid_t child[KINDS];
	int status;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	for (enum kind kind = ORDINARY; kind < KINDS; kind++) {
		CHECK((child[kind] = fork()) >= 0);
		if (child[kind])
			continue;
		become(kind);
		if (kind == PARENT) {
			CHECK((child[kind] = fork()) >= 0);
			if (child[kind]) { /* it waits for a child of the same user */
				CHECK(wait(&status) == child[kind]);
				EQUAL(status, 0);
				exit(0);
			}
		}
		work(kind);
		exit(0);
	}
	while (shared->ready < KINDS - 1)
		pause_ms(2); /* until the other processes are ready */
	ready();
	await_go();
	shared->go = 1;
	for (enum kind kind = ORDINARY; kind < KINDS; kind++) {
		CHECK(waitpid(child[kind], &status, 0) == child[kind]);
		EQUAL(status, 0);
	}
	pass();
}
