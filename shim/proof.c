/*
 * Who may command us: whoever may trace us, and the kernel itself decides that. A secret of this process lies in its
 * own page. The writer reads it out of our memory, for which the kernel asks what it asks of a tracer (all user and group
 * IDs, capabilities, dumpable, Yama), and sends it back.
 */

#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>

#include "resident.h"

#ifndef GRND_NONBLOCK
#define GRND_NONBLOCK 1
#endif

#define PROOF_BOUND 3000 /* milliseconds */

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* The secret is made where there is none: in a new process, a forked one, a restarted one. Of two threads that make it
 * at once, each word is made by the one that is first. 0 or -errno. */
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

/* An image has the old one in it. */
void proof_forget(void)
{
	for (int i = 0; i < SECRET_WORDS; i++)
		store(&own.secret[i], 0);
}

/* Whether the writer that we start will have all the privileges that we have: it is as well protected as we are. */
static int is_equal(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	unsigned user[3] = { 0 }, group[3] = { 0 };

	if (SYSCALL_3(SYS_getresuid, &user[0], &user[1], &user[2]) || SYSCALL_3(SYS_getresgid, &group[0], &group[1], &group[2]))
		return 0;
	if (user[0] != user[1] || user[0] != user[2] || group[0] != group[1] || group[0] != group[2])
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
 * Where a program is not dumpable the kernel lets not even its own user read its memory. The writer that we start
 * ourselves gets the secret in its environment then. 1 with the entry, or 0.
 */
int proof_hand_down(char *setting)
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

/* 0 when the peer has proved in time that it can read our memory, else -errno. */
int proof_demand(int socket)
{
	long until = milliseconds() + PROOF_BOUND;
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
