/*
 * Checks that the writer may command this process: it must be allowed to trace the process, and the kernel decides
 * that. Each process has a random secret in `own`. The writer reads the secret from the process's memory and sends it back. To
 * read the memory, the writer must pass the kernel's checks for a tracer (user and group IDs, capabilities, dumpable,
 * Yama).
 */

#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>

#include "resident.h"

#ifndef GRND_NONBLOCK
#define GRND_NONBLOCK 1
#endif

#define PROOF_BOUND 6000 /* milliseconds: on a busy machine the writer may not run for seconds */

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* Makes a secret if there is none: in a new, forked or restarted process. If two threads do so at once, the first one sets
 * each word. Returns 0 or -errno. */
static int make_secret(void)
{
	uint64_t random[SECRET_WORDS];
	long n = SYSCALL_3(SYS_getrandom, random, sizeof(random), GRND_NONBLOCK);

	if (n != sizeof(random))
		return n < 0 ? n : -EAGAIN;
	for (int i = 0; i < SECRET_WORDS; i++) {
		uint64_t none = 0;

		__atomic_compare_exchange_n(&own.secret[i], &none, random[i], 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	return 0;
}

/* Called after a restart: the image contains the old secret. */
void proof_forget(void)
{
	for (int i = 0; i < SECRET_WORDS; i++)
		store(&own.secret[i], 0);
}

/* Returns 1 if a writer that this process starts will have all its privileges. Then the kernel protects that writer from others
 * as well as it protects this process. The result is 0 if the program has changed its user or group since it started: its memory
 * may contain what only the earlier user may read, and the image would belong to the present one. */
static int is_equal(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	unsigned user[3] = { 0 }, group[3] = { 0 };

	if (SYSCALL_3(SYS_getresuid, &user[0], &user[1], &user[2]) || SYSCALL_3(SYS_getresgid, &group[0], &group[1], &group[2]))
		return 0;
	if (user[0] != user[1] || user[0] != user[2] || group[0] != group[1] || group[0] != group[2])
		return 0;
	if (user[0] != resident.user || group[0] != resident.group)
		return 0;
	if (SYSCALL_2(SYS_capget, &header, data))
		return 0;
	for (int i = 0; i < 64; i++)
		if (data[i / 32].permitted >> i % 32 & 1 &&
		    SYSCALL_5(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) != 1)
			return 0;
	return 1;
}

/*
 * If a program is not dumpable, the kernel does not let its own user read its memory. The resident then gives the secret to the
 * writer that it starts, in the environment. Returns 1 and stores the entry in `setting`, or returns 0.
 */
int proof_setting(char *setting)
{
	const char *name = "CRAK_SECRET=";

	if (SYSCALL_1(SYS_prctl, PR_GET_DUMPABLE) == 1 || !is_equal() || make_secret())
		return 0;
	while (*name)
		*setting++ = *name++;
	for (int i = 0; i < ABI_SECRET_SIZE; i++) {
		unsigned char byte = own.secret[i / 8] >> i % 8 * 8;

		*setting++ = "0123456789abcdef"[byte >> 4];
		*setting++ = "0123456789abcdef"[byte & 15];
	}
	*setting = 0;
	return 1;
}

static int challenge(int socket)
{
	struct abi_challenge challenge = {
		.magic = ABI_MAGIC,
		.version = ABI_VERSION,
		.secret = (uint64_t)own.secret - (uint64_t)__ehdr_start,
	};

	return wire_send(socket, ABI_CHALLENGE, 1, &challenge, sizeof(challenge));
}

/* Returns 0 if the peer proves in time that it can read the memory of this process, else -errno. */
int proof_demand(int socket)
{
	long until = milliseconds() + (resident.freeze_limit < PROOF_BOUND ? resident.freeze_limit : PROOF_BOUND);
	struct abi_message message;
	uint64_t proof[SECRET_WORDS], difference = 0;
	int error = make_secret();

	if (!error)
		error = challenge(socket);
	if (!error)
		error = wire_read(socket, &message, sizeof(message), until);
	if (error)
		return error;
	if (message.type != ABI_PROOF || message.length != sizeof(proof))
		return -EPROTO;
	error = wire_read(socket, proof, sizeof(proof), until);
	if (error)
		return error;
	for (int i = 0; i < SECRET_WORDS; i++)
		difference |= proof[i] ^ own.secret[i];
	return difference ? -EPERM : 0;
}
