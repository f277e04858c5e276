/* Run by root: real, effective, saved and file-system IDs, groups, and the five capability sets. */
#include "credentials.h"

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
