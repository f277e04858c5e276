/*
 * The main thread makes a call that transfers a part of its data and blocks. Another thread then prints READY. For each file step.1,
 * step.2 … this thread lets the call transfer some more bytes, and prints STEPPED. When there is a file go, it transfers the rest:
 *
 *	write, writev, syscall, packets       a pipe; its other end is read
 *	socket, send, sendfile, waitall       a stream socket; its other end is read, or written to
 *	terminal                              a terminal in raw mode; its other end is read
 *	closed                                a pipe; its other end is closed, so the call returns what was transferred
 *	signal, signal_restart, jump          a pipe; a signal interrupts the call, so it returns what was transferred, or never
 *
 *	partial KIND
 */
#include "check.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>

#define SIZE (1024 * 1024)
#define STEP (12 * 4096) /* whole packets */

static char data[SIZE], seen[SIZE];
static size_t transferred; /* by the other thread */
static const char *kind;
static int near_end, far_end; /* of the main thread, and of the other one */
static int source;	      /* of sendfile */
static sigjmp_buf back;
static volatile sig_atomic_t handled;
static volatile ssize_t result = -2;

static int is(const char *name)
{
	return strcmp(kind, name) == 0;
}

static void note(int signal)
{
	(void)signal;
	handled++;
}

static void jump(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

/* Waits until the main thread is asleep in a system call. */
static void await_blocked(void)
{
	char path[64], text[128];

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", getpid());
	do {
		pause_ms(2);
		slurp(path, text, sizeof(text));
	} while (text[0] < '0' || text[0] > '9');
}

static void transfer(size_t until)
{
	while (transferred < until) {
		size_t count = until - transferred < 4096 ? until - transferred : 4096;
		ssize_t n = is("waitall") ? write(far_end, data + transferred, count) : read(far_end, seen + transferred, count);

		CHECK(n > 0);
		transferred += n;
	}
}

static void *other(void *unused)
{
	char step[32];

	await_blocked();
	ready();
	for (int i = 1; access("go", F_OK); pause_ms(2)) {
		snprintf(step, sizeof(step), "step.%d", i);
		if (access(step, F_OK))
			continue;
		transfer(i * STEP);
		await_blocked();
		say("STEPPED\n");
		i++;
	}
	if (is("closed"))
		CHECK(close(far_end) == 0);
	else if (is("signal") || is("signal_restart") || is("jump"))
		CHECK(kill(getpid(), SIGUSR1) == 0);
	else
		transfer(SIZE);
	return unused;
}

static void make_ends(void)
{
	int ends[2];

	if (is("socket") || is("send") || is("sendfile") || is("waitall")) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	} else if (is("terminal")) {
		struct termios raw;

		CHECK((ends[0] = posix_openpt(O_RDWR | O_NOCTTY)) >= 0);
		CHECK(grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0);
		CHECK((ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY)) >= 0);
		CHECK(tcgetattr(ends[1], &raw) == 0);
		cfmakeraw(&raw);
		CHECK(tcsetattr(ends[1], TCSANOW, &raw) == 0);
	} else {
		CHECK(pipe2(ends, is("packets") ? O_DIRECT : 0) == 0);
	}
	far_end = ends[0];
	near_end = ends[1];
}

static ssize_t call(void)
{
	struct iovec parts[] = {
		{ data, 1000 },		{ data + 1000, 0 },		  { data + 1000, 99000 },
		{ data + 100000, 1 },	{ data + 100001, 500000 - 100001 }, { data + 500000, SIZE - 500000 },
	};

	if (is("writev"))
		return writev(near_end, parts, 6);
	if (is("syscall"))
		return syscall(SYS_write, near_end, data, SIZE);
	if (is("send"))
		return send(near_end, data, SIZE, MSG_NOSIGNAL);
	if (is("sendfile"))
		return sendfile(near_end, source, NULL, SIZE);
	if (is("waitall"))
		return recv(near_end, seen, SIZE, MSG_WAITALL);
	return write(near_end, data, SIZE);
}

/* What is in the pipe when the call has returned. */
static void drain(void)
{
	ssize_t n;

	CHECK(close(near_end) == 0);
	while ((n = read(far_end, seen + transferred, SIZE - transferred)) > 0)
		transferred += n;
	CHECK(n == 0);
}

static void check_result(void)
{
	if (is("signal") || is("signal_restart") || is("jump")) {
		drain();
		CHECK(transferred >= 65536 && transferred < SIZE);
		EQUAL(result, is("jump") ? -2 : (ssize_t)transferred);
		EQUAL(handled, !is("jump"));
	} else if (is("closed")) {
		CHECK(result >= (ssize_t)transferred + 65536 - 4096 && result < SIZE);
	} else {
		EQUAL(result, SIZE);
		EQUAL(transferred, SIZE);
	}
	for (size_t i = 0; i < transferred; i++)
		if (seen[i] != data[i])
			fail("byte %zu", i);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = note };
	pthread_t thread;

	CHECK(argc == 2);
	kind = argv[1];
	make_ends();
	fill(data, SIZE, 1);
	if (is("sendfile")) {
		CHECK((source = memfd_create("source", MFD_CLOEXEC)) >= 0);
		CHECK(write(source, data, SIZE) == SIZE && lseek(source, 0, SEEK_SET) == 0);
	}
	if (is("closed"))
		signal(SIGPIPE, SIG_IGN);
	action.sa_flags = is("signal_restart") ? SA_RESTART : 0;
	if (is("jump"))
		action.sa_handler = jump;
	CHECK(sigaction(SIGUSR1, &action, 0) == 0);
	CHECK(pthread_create(&thread, 0, other, 0) == 0);
	if (sigsetjmp(back, 1) == 0)
		result = call();
	CHECK(pthread_join(thread, 0) == 0);
	check_result();
	pass();
}
