/*
 * Pseudo-terminals that the program has made: modes, sizes, locks, packet mode, exclusive mode, numbers, flags, one that is closed on
 * the slave's side, a session with its foreground and background process groups, and /dev/tty.
 */
#include "group.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

static int make(int *slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	CHECK(master >= 0 && unlockpt(master) == 0);
	if (slave) {
		*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
		CHECK(*slave >= 0);
	}
	return master;
}

static int state(int fd, unsigned long request)
{
	int n = -1;

	CHECK(ioctl(fd, request, &n) == 0);
	return n;
}

static int events(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI, 0};

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

/* pass_through sends a text through a pseudo-terminal, and reads it. */
static void pass_through(int from, int to, const char *text)
{
	char got[64];
	int length = strlen(text);

	EQUAL(write(from, text, length), length);
	for (int at = 0; at < length;) {
		int n = read(to, got + at, sizeof got - at);
		CHECK(n > 0);
		at += n;
	}
	CHECK(!memcmp(got, text, length));
}

static struct termios modes_of(int fd)
{
	struct termios t;

	CHECK(tcgetattr(fd, &t) == 0);
	return t;
}


/* A process in a background process group of the terminal. A read stops it, or fails if it ignores SIGTTIN. */
static int background(long tty)
{
	char c;

	CHECK(setpgid(0, 0) == 0);
	signal(SIGTTIN, SIG_IGN);
	mark("background");
	await_go();
	EQUAL(read(tty, &c, 1), -1);
	EQUAL(errno, EIO);
	CHECK(tcgetpgrp(tty) != getpgrp());
	return 0;
}

static int foreground(long tty)
{
	char line[64];

	CHECK(setpgid(0, 0) == 0);
	mark("foreground");
	await_mark("given");
	EQUAL(tcgetpgrp(tty), getpgrp());
	mark("front");
	await_go();
	EQUAL(tcgetpgrp(tty), getpgrp());
	EQUAL(read(tty, line, sizeof line), 4);
	CHECK(!memcmp(line, "job\n", 4));
	EQUAL(write(tty, "done", 4), 4);
	return 0;
}

static int without(long tty)
{
	int own = open("/dev/tty", O_RDWR);

	(void)tty;
	CHECK(own >= 0 && ioctl(own, TIOCNOTTY) == 0 && close(own) == 0);
	mark("without");
	await_go();
	EQUAL(open("/dev/tty", O_RDWR), -1);
	EQUAL(errno, ENXIO);
	return 0;
}

static int session(long number)
{
	char name[32];
	int tty, own;
	pid_t front, back, none;

	snprintf(name, sizeof name, "/dev/pts/%ld", number);
	CHECK(setsid() == getpid());
	tty = open(name, O_RDWR);
	own = open("/dev/tty", O_RDWR | O_NONBLOCK);
	CHECK(tty >= 0 && own >= 0);
	signal(SIGTTOU, SIG_IGN);
	front = child(foreground, tty);
	back = child(background, tty);
	none = child(without, tty);
	await_mark("foreground");
	await_mark("background");
	await_mark("without");
	CHECK(tcsetpgrp(tty, front) == 0);
	mark("given");
	await_mark("front");
	mark("session");
	await_go();
	EQUAL(tcgetpgrp(tty), front);
	EQUAL(tcgetsid(own), getpid());
	CHECK(!strcmp(ttyname(tty), name));
	EQUAL(fcntl(own, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQUAL(fcntl(tty, F_GETFL) & O_NONBLOCK, 0);
	reap(back, 0);
	reap(none, 0);
	await_mark("typed");
	reap(front, 0);
	CHECK(tcsetpgrp(tty, getpgrp()) == 0);
	return 0;
}

/* The kernel hangs up the descriptor of the slave, and the master stays open. Only a program of root may ask for that (vhangup(2)). */
static int hung_up(long number)
{
	char name[32];
	int tty;

	snprintf(name, sizeof name, "/dev/pts/%ld", number);
	CHECK(setsid() == getpid());
	tty = open(name, O_RDWR);
	CHECK(tty >= 0);
	signal(SIGHUP, SIG_IGN);
	CHECK(vhangup() == 0);
	EQUAL(events(tty) & POLLERR, POLLERR);
	mark("hung");
	await_go();
	EQUAL(events(tty) & POLLERR, POLLERR);
	EQUAL(read(tty, name, 1), 0);
	EQUAL(write(tty, "x", 1), -1);
	EQUAL(errno, EIO);
	return 0;
}

/* Input is written to a pseudo-terminal without echo, whose slave nobody has opened yet. */
static void unopened(void)
{
	int master = make(0), slave;
	struct termios t = modes_of(master);
	char text[8];

	t.c_lflag &= ~ECHO;
	CHECK(tcsetattr(master, TCSANOW, &t) == 0);
	EQUAL(write(master, "in\n", 3), 3);
	ready();
	await_go();
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	EQUAL(read(slave, text, sizeof text), 3);
	pass();
}

/* A child that has the slave of a pseudo-terminal. Its parent has the master. */
static int slave_alone(long number)
{
	char name[32], text[8];
	int slave;

	snprintf(name, sizeof name, "/dev/pts/%ld", number);
	slave = open(name, O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	mark("slave");
	await_go();
	EQUAL(state(slave, TIOCGEXCL), 0);
	EQUAL(read(slave, text, sizeof text), 3);
	EQUAL(write(slave, text, 3), 3);
	return 0;
}

int main(int argc, char **argv)
{
	struct winsize size = {33, 101, 606, 330};
	struct termios raw, now;
	struct stat before, after;
	char text[64];
	int slave, other, reader, closed, gone, dead, locked, packet, packet_slave, master, shell, apart, hung;
	int number, locked_number;
	pid_t leader, holder, hanging = 0;

	if (argc > 1 && !strcmp(argv[1], "unopened"))
		unopened();
	master = make(&slave);
	other = dup(slave);
	CHECK(fcntl(other, F_SETFD, FD_CLOEXEC) == 0 && fcntl(master, F_SETFL, O_NONBLOCK) == 0);
	reader = ioctl(master, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	CHECK(reader >= 0 && dup2(reader, 50) == 50);
	number = state(master, TIOCGPTN);
	raw = modes_of(slave);
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 3;
	raw.c_cc[VTIME] = 7;
	CHECK(cfsetspeed(&raw, B19200) == 0 && tcsetattr(slave, TCSANOW, &raw) == 0);
	raw = modes_of(slave);
	CHECK(ioctl(slave, TIOCSWINSZ, &size) == 0 && fchmod(slave, 0622) == 0 && fstat(slave, &before) == 0);
	CHECK(ioctl(slave, TIOCEXCL) == 0);

	closed = make(&gone);
	CHECK(close(gone) == 0);
	EQUAL(events(closed) & POLLHUP, POLLHUP);
	locked = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(locked >= 0);
	EQUAL(events(locked) & POLLHUP, 0);
	locked_number = state(locked, TIOCGPTN);
	close(make(&dead));
	EQUAL(write(dead, "x", 1), -1);
	packet = make(&packet_slave);
	CHECK(ioctl(packet, TIOCPKT, &(int){1}) == 0);

	shell = make(0);
	now = modes_of(shell);
	now.c_lflag &= ~ECHO;
	now.c_oflag &= ~OPOST;
	CHECK(tcsetattr(shell, TCSANOW, &now) == 0);
	leader = child(session, state(shell, TIOCGPTN));
	apart = make(0);
	CHECK(tcsetattr(apart, TCSANOW, &now) == 0);
	holder = child(slave_alone, state(apart, TIOCGPTN));
	hung = make(0);
	if (geteuid() == 0) {
		hanging = child(hung_up, state(hung, TIOCGPTN));
		await_mark("hung");
	}
	await_mark("session");
	await_mark("slave");
	ready();
	await_go();

	EQUAL(state(master, TIOCGPTN), number);
	CHECK(fstat(slave, &after) == 0);
	EQUAL(after.st_mode, before.st_mode);
	EQUAL(after.st_uid, before.st_uid);
	EQUAL(after.st_gid, before.st_gid);
	EQUAL(after.st_rdev, before.st_rdev);
	now = modes_of(slave);
	CHECK(now.c_iflag == raw.c_iflag && now.c_oflag == raw.c_oflag && now.c_lflag == raw.c_lflag && now.c_cflag == raw.c_cflag);
	CHECK(!memcmp(now.c_cc, raw.c_cc, sizeof now.c_cc) && cfgetospeed(&now) == B19200);
	memset(&size, 0, sizeof size);
	CHECK(ioctl(master, TIOCGWINSZ, &size) == 0);
	CHECK(size.ws_row == 33 && size.ws_col == 101 && size.ws_xpixel == 606 && size.ws_ypixel == 330);
	EQUAL(state(slave, TIOCGEXCL), 1);
	EQUAL(fcntl(other, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(master, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(slave, F_GETFD), 0);
	EQUAL(fcntl(reader, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(50, F_GETFD), 0);
	EQUAL(fcntl(master, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQUAL(fcntl(reader, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_RDONLY);
	EQUAL(fcntl(slave, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDWR);
	EQUAL(read(master, text, sizeof text), -1);
	EQUAL(errno, EAGAIN);
	CHECK(fcntl(master, F_SETFL, 0) == 0);
	pass_through(master, slave, "there");
	pass_through(other, master, "back\n");

	EQUAL(read(closed, text, 1), -1);
	EQUAL(errno, EIO);
	EQUAL(events(locked) & POLLHUP, 0);
	EQUAL(state(locked, TIOCGPTLCK), 1);
	EQUAL(state(locked, TIOCGPTN), locked_number);
	EQUAL(ioctl(locked, TIOCGPTPEER, O_RDWR | O_NOCTTY), -1);
	EQUAL(errno, EIO);
	EQUAL(read(dead, text, 1), 0);
	EQUAL(write(dead, "x", 1), -1);
	EQUAL(errno, EIO);

	EQUAL(state(packet, TIOCGPKT), 1);
	EQUAL(events(packet), POLLOUT);
	CHECK(tcflush(packet_slave, TCIFLUSH) == 0);
	EQUAL(events(packet) & POLLPRI, POLLPRI);
	EQUAL(read(packet, text, sizeof text), 1);
	EQUAL(text[0], TIOCPKT_FLUSHREAD);
	EQUAL(write(packet_slave, "abc", 3), 3);
	EQUAL(read(packet, text, sizeof text), 4);
	EQUAL(text[0], TIOCPKT_DATA);

	if (hanging) {
		reap(hanging, 0); /* The hang-up has not closed the child's slave: the master sees POLLHUP when the child has ended. */
		EQUAL(events(hung) & POLLHUP, POLLHUP);
		slave = ioctl(hung, TIOCGPTPEER, O_RDWR | O_NOCTTY);
		CHECK(slave >= 0);
		EQUAL(write(slave, "x", 1), 1);
		EQUAL(read(hung, text, 1), 1);
	}
	EQUAL(write(shell, "job\n", 4), 4);
	mark("typed");
	EQUAL(read(shell, text, sizeof text), 4);
	reap(leader, 0);
	EQUAL(write(apart, "hi\n", 3), 3);
	EQUAL(read(apart, text, sizeof text), 3);
	reap(holder, 0);
	EQUAL(read(apart, text, sizeof text), -1);
	EQUAL(errno, EIO);
	pass();
}
