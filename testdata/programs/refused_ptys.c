/* Has pseudo-terminals that CRAK refuses: one for each word of the command line. */
#include "check.h"

#include <sys/ioctl.h>
#include <termios.h>

#ifndef EXTPROC
#define EXTPROC 0200000
#endif

static int opened(int flags)
{
	int master = open("/dev/ptmx", flags | O_NOCTTY);

	CHECK(master >= 0 && ioctl(master, TIOCSPTLCK, &(int){0}) == 0);
	return master;
}

static int slave_of(int master)
{
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);

	CHECK(slave >= 0);
	return slave;
}

static void make(const char *kind)
{
	int master = opened(strcmp(kind, "half") ? O_RDWR : O_RDONLY), slave;
	struct termios modes;

	if (!strcmp(kind, "half"))
		return;
	if (!strcmp(kind, "input")) {
		CHECK(write(master, "x", 1) == 1);
		return;
	}
	slave = slave_of(master);
	if (!strcmp(kind, "status"))
		CHECK(ioctl(master, TIOCPKT, &(int){1}) == 0 && tcflush(slave, TCIFLUSH) == 0);
	else if (!strcmp(kind, "extproc"))
		CHECK(tcgetattr(slave, &modes) == 0 && (modes.c_lflag |= EXTPROC) && tcsetattr(slave, TCSANOW, &modes) == 0);
	else if (!strcmp(kind, "stopped"))
		CHECK(write(slave, "x", 1) == 1 && tcflow(slave, TCOOFF) == 0);
	else
		fail("kind %s", kind);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		make(argv[i]);
	ready();
	await_go();
	pass();
}
