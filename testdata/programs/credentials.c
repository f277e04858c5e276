/* Run by root: real, effective, saved and file-system IDs, groups, and the five capability sets. */
#include "check.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

struct credentials {
	uid_t uid[3], fsuid;
	gid_t gid[3], fsgid;
	int count, securebits, keepcaps;
	gid_t groups[32];
	struct __user_cap_data_struct caps[2];
	uint64_t bounding, ambient;
};

static void take(struct credentials *c)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

	memset(c, 0, sizeof *c);
	CHECK(getresuid(&c->uid[0], &c->uid[1], &c->uid[2]) == 0);
	CHECK(getresgid(&c->gid[0], &c->gid[1], &c->gid[2]) == 0);
	c->fsuid = setfsuid(-1);
	c->fsgid = setfsgid(-1);
	CHECK((c->count = getgroups(32, c->groups)) >= 0);
	CHECK(syscall(SYS_capget, &header, c->caps) == 0);
	c->securebits = prctl(PR_GET_SECUREBITS);
	c->keepcaps = prctl(PR_GET_KEEPCAPS);
	for (int cap = 0; cap < 64; cap++) {
		c->bounding |= (uint64_t)(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) << cap;
		c->ambient |= (uint64_t)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) << cap;
	}
}

static void set_caps(uint32_t effective, uint32_t permitted, uint32_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {0, 0, 0}};
	CHECK(syscall(SYS_capset, &header, data) == 0);
}

int main(int argc, char **argv)
{
	static const gid_t groups[] = {4000, 5, 60, 4001};
	int dropped = argc > 1 && !strcmp(argv[1], "dropped");
	uint32_t tracing = argc > 1 && !strcmp(argv[1], "tracing") ? 1 << CAP_SYS_PTRACE : 0;
	struct credentials before, after;

	CHECK(setgroups(4, groups) == 0);
	CHECK(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) == 0);
	CHECK(prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
	if (dropped) {
		/* A daemon that has changed all its IDs to an ordinary user's. */
		CHECK(setresgid(3001, 3001, 3001) == 0 && setresuid(3000, 3000, 3000) == 0);
		set_caps(0, 0, 0);
	} else {
		/* A program that switches between root and a user by its saved ID, and keeps two or three capabilities. */
		CHECK(setresgid(3001, 3002, 3003) == 0 && setresuid(3000, 3001, 0) == 0);
		set_caps(1 << CAP_SETUID, 1 << CAP_SETUID | 1 << CAP_NET_BIND_SERVICE | tracing, 1 << CAP_NET_BIND_SERVICE);
		CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);
	}
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	take(&before);
	ready();
	await_go();
	take(&after);
	for (int i = 0; i < 3; i++) {
		EQUAL(after.uid[i], before.uid[i]);
		EQUAL(after.gid[i], before.gid[i]);
	}
	EQUAL(after.fsuid, before.fsuid);
	EQUAL(after.fsgid, before.fsgid);
	EQUAL(after.count, before.count);
	EQUAL(after.securebits, before.securebits);
	EQUAL(after.keepcaps, before.keepcaps);
	EQUAL(after.caps[0].effective, before.caps[0].effective);
	EQUAL(after.caps[0].permitted, before.caps[0].permitted);
	EQUAL(after.caps[0].inheritable, before.caps[0].inheritable);
	EQUAL(after.bounding, before.bounding);
	EQUAL(after.ambient, before.ambient);
	CHECK(!memcmp(&after, &before, sizeof after));
	if (!dropped)
		CHECK(setresuid(-1, 0, -1) == 0); /* it may set its effective ID to root again */
	else
		EQUAL(setresuid(-1, 0, -1), -1);
	pass();
}
