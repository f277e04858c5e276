/*
 * What waits in pseudo-terminals: output, lines, the beginning of a line, ends of file, raw input, full queues, output that ^S and
 * tcflow(3) have stopped.
 */
#include "group.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

struct pair {
	int master, slave;
};

/* make makes a pseudo-terminal without echo. */
static struct pair make(int flags)
{
	struct pair p;
	struct termios t;

	p.master = posix_openpt(O_RDWR | O_NOCTTY | flags);
	CHECK(p.master >= 0 && unlockpt(p.master) == 0);
	p.slave = ioctl(p.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | flags);
	CHECK(p.slave >= 0 && tcgetattr(p.slave, &t) == 0);
	t.c_lflag &= ~ECHO;
	CHECK(tcsetattr(p.slave, TCSANOW, &t) == 0);
	return p;
}

static void local_modes(int fd, tcflag_t on, tcflag_t off)
{
	struct termios t;

	CHECK(tcgetattr(fd, &t) == 0);
	t.c_lflag = (t.c_lflag | on) & ~off;
	CHECK(tcsetattr(fd, TCSANOW, &t) == 0);
}

static int events(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI, 0};

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void put_bytes(int fd, const char *text, int length)
{
	EQUAL(write(fd, text, length), length);
}

static void put(int fd, const char *text)
{
	put_bytes(fd, text, strlen(text));
}

/* expect reads once, and compares what it has read. */
static void expect_bytes(int fd, const char *want, int length)
{
	char got[256];

	EQUAL(read(fd, got, sizeof got), length);
	if (memcmp(got, want, length))
		fail("got %.*s, want %.*s", length, got, length, want);
}

static void expect(int fd, const char *want)
{
	expect_bytes(fd, want, strlen(want));
}

/*
 * arrived waits until this number of bytes has arrived, of lines, of raw input or of output. The kernel moves a newline of output
 * apart from what is before it.
 */
static void arrived(int fd, int bytes)
{
	int n = -1;

	while (n != bytes) {
		CHECK(ioctl(fd, FIONREAD, &n) == 0);
		pause_ms(1);
	}
}

static char pattern(int i)
{
	return 'a' + i % 23;
}

/* fill writes until there is no room any more. */
static int fill_queue(int fd, int size)
{
	char text[2000];
	int total = 0;

	for (int tries = 0; tries < 20; tries++) { /* the kernel moves written bytes to the other side, which makes room */
		for (;;) {
			for (int i = 0; i < size; i++)
				text[i] = pattern(total + i);
			int n = write(fd, text, size);
			if (n <= 0)
				break;
			total += n;
		}
		EQUAL(errno, EAGAIN);
		pause_ms(5);
	}
	return total;
}

static void drain(int fd, int total)
{
	char text[4096];

	for (int at = 0; at < total;) {
		struct pollfd input = {fd, POLLIN, 0};
		if (poll(&input, 1, 10000) != 1) /* a worker of the kernel moves the bytes to the reader; it may still be on its way */
			fail("%d bytes of %d", at, total);
		int n = read(fd, text, sizeof text);
		CHECK(n > 0);
		for (int i = 0; i < n; i++)
			EQUAL(text[i], pattern(at + i));
		at += n;
	}
	EQUAL(events(fd) & POLLIN, 0);
}

/* paste types lines, more than the queue holds and more than crak reads one by one. */
static void paste(int master, int lines)
{
	char line[16];

	for (int i = 0; i < lines; i++) {
		snprintf(line, sizeof line, "line %06d\n", i);
		put(master, line);
	}
}

static void expect_pasted(int slave, int lines)
{
	char line[16];

	for (int i = 0; i < lines; i++) {
		struct pollfd input = {slave, POLLIN, 0};
		if (poll(&input, 1, 10000) != 1)
			fail("%d lines of %d", i, lines);
		snprintf(line, sizeof line, "line %06d\n", i);
		expect(slave, line);
	}
	EQUAL(events(slave) & POLLIN, 0);
}

static struct pair common;

/* A child that reads what its parent writes. */
static int reader(long unused)
{
	(void)unused;
	CHECK(close(common.master) == 0);
	await_go();
	expect(common.slave, "to the child\n");
	expect(common.slave, "and more\n");
	put(common.slave, "done\n");
	return 0;
}

int main(void)
{
	struct pair out = make(0), packet = make(0), lines = make(0), ends = make(0), half = make(O_NONBLOCK), raw = make(0), few = make(O_NONBLOCK);
	struct pair full = make(O_NONBLOCK), wide = make(O_NONBLOCK), closed = make(0), stopped = make(O_NONBLOCK), many = make(0), both = make(0);
	struct pair held = make(O_NONBLOCK), pasted = make(0);
	struct termios t;
	char text[256];
	int full_bytes, wide_bytes;
	pid_t child_pid;

	put(out.slave, "first\nsecond\n");
	arrived(out.master, 15);
	CHECK(ioctl(packet.master, TIOCPKT, &(int){1}) == 0);
	put(packet.slave, "packet\n");
	arrived(packet.master, 8);

	put(lines.master, "one\ntwo\n");
	arrived(lines.slave, 8);
	put(lines.master, "tha"); /* the last letter is erased later */
	put_bytes(ends.master, "abc\x04\x04qu\x16\x04o\x16\nted\nlast", 20);
	arrived(ends.slave, 3 + 9);
	put(half.master, "hal");
	EQUAL(events(half.slave) & POLLIN, 0);

	local_modes(raw.slave, 0, ICANON | ISIG);
	put_bytes(raw.master, "\x03\x04\n\r\x1a", 5);
	arrived(raw.slave, 5);
	local_modes(raw.slave, ISIG, 0);
	CHECK(tcgetattr(few.slave, &t) == 0);
	t.c_lflag &= ~ICANON;
	t.c_cc[VMIN] = 5;
	CHECK(tcsetattr(few.slave, TCSANOW, &t) == 0);
	put(few.master, "xy");
	arrived(few.slave, 2);

	local_modes(full.slave, 0, ICANON);
	cfmakeraw(&t);
	CHECK(tcsetattr(full.slave, TCSANOW, &t) == 0 && tcsetattr(wide.slave, TCSANOW, &t) == 0);
	full_bytes = fill_queue(full.slave, 1000);
	wide_bytes = fill_queue(wide.slave, 77);

	put(closed.slave, "bye\n");
	arrived(closed.master, 5);
	CHECK(close(closed.slave) == 0);
	put(stopped.master, "\x13");
	while (events(stopped.slave) & POLLOUT)
		pause_ms(1);
	CHECK(tcflow(held.slave, TCOOFF) == 0);
	EQUAL(events(held.slave) & POLLOUT, 0);
	for (int i = 0; i < 60; i++)
		put(many.master, "line\n");
	arrived(many.slave, 300);
	paste(pasted.master, 1000);
	put(both.slave, "question: ");
	arrived(both.master, 10);
	put(both.master, "answer\n");
	arrived(both.slave, 7);
	common = make(0);
	put(common.master, "to the child\nand more\n");
	arrived(common.slave, 22);
	child_pid = child(reader, 0);
	CHECK(close(common.slave) == 0);
	ready();
	await_go();

	expect(out.master, "first\r\nsecond\r\n");
	EQUAL(read(packet.master, text, sizeof text), 9);
	CHECK(!memcmp(text, "\0packet\r\n", 9));

	expect(lines.slave, "one\n");
	expect(lines.slave, "two\n");
	put(lines.master, "\x7f" "ree\n");
	expect(lines.slave, "three\n");
	expect(ends.slave, "abc");
	EQUAL(read(ends.slave, text, sizeof text), 0);
	expect(ends.slave, "qu\x04o\nted\n");
	put(ends.master, "\n");
	expect(ends.slave, "last\n");
	EQUAL(read(half.slave, text, sizeof text), -1);
	EQUAL(errno, EAGAIN);
	put(half.master, "f\n");
	arrived(half.slave, 5);
	expect(half.slave, "half\n");

	CHECK(tcgetattr(raw.slave, &t) == 0);
	EQUAL(t.c_lflag & (ICANON | ISIG), ISIG);
	expect_bytes(raw.slave, "\x03\x04\n\n\x1a", 5); /* ICRNL */
	EQUAL(events(few.slave) & POLLIN, 0);
	put(few.master, "zzz");
	arrived(few.slave, 5);
	expect(few.slave, "xyzzz");

	drain(full.master, full_bytes);
	drain(wide.master, wide_bytes);
	expect(closed.master, "bye\r\n");
	EQUAL(read(closed.master, text, 1), -1);
	EQUAL(errno, EIO);
	EQUAL(events(stopped.slave) & POLLOUT, 0);
	CHECK(tcflow(stopped.slave, TCOON) == 0); /* starts only what tcflow has stopped */
	EQUAL(events(stopped.slave) & POLLOUT, 0);
	put(stopped.master, "\x11");
	while (!(events(stopped.slave) & POLLOUT))
		pause_ms(1);
	EQUAL(events(held.slave) & POLLOUT, 0);
	CHECK(tcflow(held.slave, TCOON) == 0);
	CHECK(events(held.slave) & POLLOUT);
	put(held.slave, "again\n");
	arrived(held.master, 7);
	expect(held.master, "again\r\n");
	for (int i = 0; i < 60; i++)
		expect(many.slave, "line\n");
	expect_pasted(pasted.slave, 1000);
	expect(both.master, "question: ");
	expect(both.slave, "answer\n");
	reap(child_pid, 0);
	arrived(common.master, 6);
	expect(common.master, "done\r\n");
	for (int i = 0; i < 2; i++)
		EQUAL(events((struct pair[]){lines, many}[i].master) & POLLIN, 0); /* nothing was echoed */
	pass();
}
