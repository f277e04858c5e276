/*
 * A program without libcrak.so that claims to have a resident: hostile MODE [PID]. It speaks libcrak.so's protocol and tells
 * the lie that MODE names:
 *
 *	twin PID      its twin is process PID
 *	child         its twin is a child that has another exit signal
 *	older         its twin is a child that it made before the freeze
 *	other         its twin is a child with other mappings
 *	tid           it names a frozen thread that it does not have
 *	twice         it names one frozen thread twice
 *	many          4,000,000,000 threads are frozen
 *	pid           it has another PID
 *	silent        it sends nothing after HELLO
 *	stalls        it sends nothing after the HELLO of a freeze
 *	answers       its child connects and answers in its place
 *	invents       it makes up the messages of POSIX message queues
 *	limits [ID]   it has higher limits, and the segment ID of System V, which it says is its own
 *	bits          it has the secure bit with which set-user-ID programs keep root's capabilities
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <ucontext.h>
#include <unistd.h>

#include "abi.h"

static const char *mode, *settings[4];
static int victim;
static struct abi_call calls[ABI_CALLS_MAX];
static char data[ABI_DATA_MAX];
static int64_t results[ABI_CALLS_MAX];
static struct abi_context context;

static int is(const char *name) { return !strcmp(mode, name); }

static void put(int fd, const void *bytes, size_t length)
{
	if (length > 0 && write(fd, bytes, length) != (ssize_t)length)
		_exit(3);
}

static int get(int fd, void *bytes, size_t length)
{
	return length == 0 || recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static void send_message(int fd, unsigned type, unsigned count, const void *body, size_t length)
{
	struct abi_message message = { type, count, length };

	put(fd, &message, sizeof(message));
	put(fd, body, length);
}

static void say_hello(int fd)
{
	char body[sizeof(struct abi_hello) + 8192];
	struct abi_hello hello = { .magic = ABI_MAGIC, .version = ABI_VERSION, .pid = getpid(), .tid = getpid(), .dumpable = 1,
				   .socket = fd };
	size_t length = sizeof(hello);

#ifdef ABI_CHALLENGE_SIZE
	struct abi_challenge challenge = { ABI_MAGIC, ABI_VERSION, 0 };
	struct abi_message proof;

	send_message(fd, ABI_CHALLENGE, 1, &challenge, sizeof(challenge));
	if (!get(fd, &proof, sizeof(proof)) || !get(fd, body, proof.length))
		_exit(4);
	hello.limit = 30000;
#endif
	if (is("pid"))
		hello.pid = victim;
	memcpy(body, &hello, sizeof(hello));
	for (int i = 0; i < 4 && settings[i]; i++) {
		strcpy(body + length, settings[i]);
		length += strlen(settings[i]) + 1;
	}
	send_message(fd, ABI_HELLO, 1, body, length);
}

/* Makes a child with this exit signal and this many additional mappings. It exits when the writer closes the connection, or
 * when its parent ends. */
static int child(int signal, int mappings, int fd)
{
	struct pollfd end = { .fd = fd, .events = POLLRDHUP };
	int made[2], pid;
	char byte;

	if (pipe(made))
		_exit(4);
	pid = syscall(SYS_clone, signal, 0, 0, 0, 0);
	if (pid) {
		close(made[1]);
		while (read(made[0], &byte, 1) < 0 && errno == EINTR)
			;
		close(made[0]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < mappings; i++)
		mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	close(made[0]);
	close(made[1]); /* the mappings are made: the parent reads the end of file */
	poll(&end, 1, -1);
	_exit(0);
}

static int earlier;

static int twin(int fd)
{
	if (is("twin"))
		return victim;
	if (is("older"))
		return earlier;
	if (is("child"))
		return child(SIGCHLD, 0, fd);
	return child(ABI_EXIT_SIGNAL, is("other") ? 50 : 0, fd);
}

/* Changes what the kernel has answered. */
static void lie(const struct abi_call *call, const unsigned long *args, int64_t *result)
{
	if (is("bits") && call->number == SYS_prctl && args[0] == PR_GET_SECUREBITS)
		*result = SECBIT_NO_SETUID_FIXUP;
	if (is("limits") && call->number == SYS_prlimit64)
		memset((void *)args[3], 0xff, 16);
	if (is("limits") && call->number == SYS_shmctl && *result == 0) {
		struct shmid_ds *segment = (void *)args[2];

		segment->shm_perm.uid = getuid();
		segment->shm_perm.mode |= 0666;
	}
}

/* Sends RESULTS, and the data as the calls left it. */
static void answer(int fd, unsigned count, size_t length)
{
	size_t size = count * sizeof(results[0]);
	struct abi_message message = { ABI_RESULTS, count, size + length };

	put(fd, &message, sizeof(message));
	put(fd, results, size);
	put(fd, data, length);
}

/* The calls that take messages out of a queue and put them back. Returns whether it has answered in the kernel's place. */
static int invents(const struct abi_call *call, int64_t *result)
{
	static const char text[] = "invented";

	if (!is("invents"))
		return 0;
	switch (call->number) {
	case SYS_open:
		*result = 100;
		return 1;
	case SYS_mq_timedreceive:
		memcpy((void *)call->args[1], text, sizeof(text));
		*result = sizeof(text);
		return 1;
	case SYS_mq_timedsend:
		*result = 0;
		return 1;
	}
	return 0;
}

static unsigned long argument(const struct abi_call *call, int i)
{
	unsigned long value = call->args[i];

	if (call->relative & ABI_DATA(i))
		return value + (unsigned long)data;
	if (call->relative & ABI_VALUE(i))
		return *(unsigned *)(data + value);
	if (call->relative & ABI_RESULT(i))
		return results[value];
	return value;
}

static void serve(int fd)
{
	struct abi_message request;

	while (get(fd, &request, sizeof(request))) {
		size_t length = request.count * sizeof(calls[0]);

		switch (request.type) {
		case ABI_CALLS:
			if (!get(fd, calls, length) || !get(fd, data, request.length - length))
				return;
			for (unsigned i = 0; i < request.count; i++) {
				unsigned long a[6];

				if (invents(&calls[i], &results[i]))
					continue;
				for (int j = 0; j < 6; j++)
					a[j] = argument(&calls[i], j);
				results[i] = syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
				if (results[i] < 0)
					results[i] = -errno;
				lie(&calls[i], a, &results[i]);
			}
			answer(fd, request.count, request.length - length);
			break;
		case ABI_SNAPSHOT:
			results[0] = twin(fd);
			send_message(fd, ABI_RESULTS, 1, results, sizeof(results[0]));
			break;
		default:
			if (!get(fd, data, request.length))
				return;
		}
	}
}

static void freeze(int fd, ucontext_t *frame)
{
	struct abi_thread thread = { .tid = getpid(), .flags = ABI_THREAD_INITIATOR, .context = (uint64_t)&context,
				     .frame = (uint64_t)frame, .syscall = -1, .ip = frame->uc_mcontext.gregs[REG_RIP],
				     .sp = frame->uc_mcontext.gregs[REG_RSP] };
	struct abi_thread two[2] = { thread, thread };

	if (is("tid"))
		two[1].tid = victim;
	if (is("many")) {
		struct abi_message message = { ABI_FROZEN, 4000000000u, 4000000000u * sizeof(thread) };

		put(fd, &message, sizeof(message));
		pause();
	}
	send_message(fd, ABI_FROZEN, is("tid") || is("twice") ? 2 : 1, two, (is("tid") || is("twice") ? 2 : 1) * sizeof(thread));
	serve(fd);
}

static void obey(int signal, siginfo_t *info, void *frame)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, ABI_SOCKET_PREFIX "%016lx",
			      (uint64_t)info->si_value.sival_ptr);

	(void)signal;
	if (is("answers") && fork()) {
		close(fd);
		pause();
	}
	if (connect(fd, (void *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + length) == 0) {
		say_hello(fd);
		if (is("silent") || (is("stalls") && info->si_errno == ABI_ORDER_FREEZE))
			pause();
		if (info->si_errno == ABI_ORDER_FREEZE)
			freeze(fd, frame);
	}
	close(fd);
}

__attribute__((naked)) static void restorer(void)
{
	__asm__("mov $15, %eax; syscall");
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "CRAK_START_DIR", "CRAK_DIR", "CRAK_LOG", "CRAK_COMPRESS" };
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} action = { obey, SA_SIGINFO | SA_RESTART | 0x04000000 /* SA_RESTORER */, restorer, 0 };
	char c;
	int n = 0;

	mode = argv[1];
	victim = argc > 2 ? atoi(argv[2]) : 0;
	for (int i = 0; i < 4; i++) {
		char *value = getenv(names[i]);
		char *entry;

		if (value && asprintf(&entry, "%s=%s", names[i], value) > 0)
			settings[n++] = entry;
	}
	if (is("limits") && argc > 2 && shmat(victim, NULL, SHM_RDONLY) == (void *)-1)
		return 5;
	if (is("older"))
		earlier = child(ABI_EXIT_SIGNAL, 0, -1);
	syscall(SYS_rt_sigaction, ABI_FREEZE_SIGNAL, &action, NULL, 8);
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
