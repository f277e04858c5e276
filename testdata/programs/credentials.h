/* Takes all IDs and capabilities of the calling thread. */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

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

#endif
