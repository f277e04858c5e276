/*
 * Keys are typed into pseudo-terminals all the time, with echo, and ^C, which sends SIGINT to the session of the second one. A worker of the
 * kernel delivers them: a checkpoint may come before it. No byte and no signal is lost, and none comes twice.
 */
#include "group.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static volatile int *interrupts;

static int open_slave(int master)
{
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);

	CHECK(slave >= 0);
	return slave;
}

static int open_master(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	CHECK(master >= 0 && unlockpt(master) == 0);
	return master;
}

static void expect(int fd, const char *want)
{
	int length = strlen(want), n = 0;
	char got[64];

	while (n < length) {
		struct pollfd input = {fd, POLLIN, 0};
		if (poll(&input, 1, 10000) != 1)
			fail("%d bytes of %s", n, want);
		int more = read(fd, got + n, length - n);
		CHECK(more > 0);
		n += more;
	}
	if (memcmp(got, want, length))
		fail("got %.*s, want %s", length, got, want);
}

static int session(long master)
{
	sigset_t set;
	siginfo_t info;

	CHECK(setsid() > 0);
	CHECK(ioctl(open_slave(master), TIOCSCTTY, 0) == 0);
	CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGINT) == 0 && sigaddset(&set, SIGTERM) == 0);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	mark("session");
	while (sigwaitinfo(&set, &info) == SIGINT)
		__atomic_add_fetch(interrupts, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void await_interrupts(int want)
{
	for (int waited = 0; __atomic_load_n(interrupts, __ATOMIC_SEQ_CST) != want; waited++) {
		if (waited == 10000)
			fail("%d interrupts, want %d", *interrupts, want);
		pause_ms(1); /* the other process may be between two calls */
	}
}

int main(void)
{
	int master = open_master(), slave = open_slave(master), other = open_master();
	char line[32], echo[32];
	pid_t pid;

	interrupts = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(interrupts != MAP_FAILED);
	pid = child(session, other);
	await_mark("session");
	ready();
	for (int i = 1; i <= 10 || access("go", F_OK); i++) {
		snprintf(line, sizeof line, "line %d\n", i);
		snprintf(echo, sizeof echo, "line %d\r\n", i);
		EQUAL(write(master, line, strlen(line)), strlen(line));
		EQUAL(write(other, "\x03", 1), 1);
		expect(master, echo);
		expect(slave, line);
		expect(other, "^C");
		await_interrupts(i);
	}
	CHECK(kill(pid, SIGTERM) == 0);
	reap(pid, 0);
	pass();
}
