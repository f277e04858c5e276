/* The program's controlling terminal: modes, size, foreground, /dev/tty, and a SIGWINCH after a restart. */
#include "check.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

static volatile sig_atomic_t resized;

static void on_resize(int signal)
{
	(void)signal;
	resized = 1;
}

static struct termios modes_of(int fd)
{
	struct termios t;

	CHECK(tcgetattr(fd, &t) == 0);
	return t;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_resize};
	struct termios raw = modes_of(0), now;
	struct winsize size;
	int tty = open("/dev/tty", O_RDWR | O_NONBLOCK), dup_of_tty = dup(tty), own = open(ttyname(0), O_RDONLY | O_NOCTTY);
	sigset_t winch;
	int restarted = argc > 1 && !strcmp(argv[1], "restarted");

	CHECK(tty >= 0 && own >= 0);
	CHECK(sigaction(SIGWINCH, &action, 0) == 0);
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 3;
	raw.c_cc[VTIME] = 7;
	CHECK(tcsetattr(0, TCSANOW, &raw) == 0);
	raw = modes_of(0);

	/* The handler would interrupt the sleep in await_go. */
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	CHECK(sigprocmask(SIG_BLOCK, &winch, 0) == 0);
	ready();
	await_go();
	CHECK(sigprocmask(SIG_UNBLOCK, &winch, 0) == 0);

	for (int fd = 0; fd < 3; fd++)
		CHECK(isatty(fd));
	now = modes_of(tty);
	CHECK(now.c_iflag == raw.c_iflag && now.c_oflag == raw.c_oflag && now.c_lflag == raw.c_lflag && now.c_cflag == raw.c_cflag);
	EQUAL(now.c_cc[VMIN], 3);
	EQUAL(now.c_cc[VTIME], 7);
	CHECK(ioctl(0, TIOCGWINSZ, &size) == 0);
	EQUAL(size.ws_row, 24);
	EQUAL(size.ws_col, 80);
	EQUAL(resized, restarted);
	EQUAL(tcgetpgrp(tty), getpgrp());
	CHECK(fcntl(tty, F_GETFL) & O_NONBLOCK);
	CHECK(!(fcntl(0, F_GETFL) & O_NONBLOCK));
	CHECK(!(fcntl(own, F_GETFL) & O_NONBLOCK));
	CHECK(fcntl(dup_of_tty, F_SETFL, 0) == 0 && !(fcntl(tty, F_GETFL) & O_NONBLOCK));
	pass();
}
