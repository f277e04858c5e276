/* Status flags (F_GETFL) of descriptors of every kind that has a path, and of some others. O_ASYNC is set by open(2) or by F_SETFL. */
#include "check.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#define MOST 512

static int fds[MOST], flags[MOST], count;

static void add(int fd)
{
	CHECK(fd >= 0 && count < MOST);
	fds[count] = fd;
	flags[count++] = fcntl(fd, F_GETFL);
}

static void set(int fd, int more)
{
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | more) == 0);
	add(fd);
}

static void add_path(const char *path, int mode)
{
	static const int each[] = {0, O_ASYNC, O_NONBLOCK, O_NONBLOCK | O_ASYNC, O_NOCTTY | O_CLOEXEC};

	for (unsigned i = 0; i < sizeof each / sizeof each[0]; i++)
		add(open(path, mode | each[i], 0600));
}

static void add_pair(int more)
{
	int ends[2];

	CHECK(pipe2(ends, O_CLOEXEC | more) == 0);
	set(ends[0], O_ASYNC);
	set(ends[1], O_ASYNC | O_NONBLOCK);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
	set(ends[0], O_ASYNC);
	set(ends[1], more ? O_NONBLOCK : 0);
}

int main(int argc, char **argv)
{
	sigset_t none;
	int removed;

	(void)argv;
	sigemptyset(&none);
	CHECK(close(open("file", O_CREAT | O_RDWR, 0600)) == 0 && mkdir("directory", 0700) == 0 && mkfifo("fifo", 0600) == 0);
	add_path("file", O_RDONLY);
	add_path("file", O_RDWR | O_APPEND | O_SYNC);
	add_path("file", O_WRONLY | O_DSYNC);
	add_path("file", O_RDONLY | O_NOATIME);
	add_path("file", O_PATH);
	add(open("file", O_RDONLY | O_NOFOLLOW));
	add(open("directory", O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_ASYNC));
	add_path("directory", O_RDONLY);
	add_path("directory", O_RDONLY | O_DIRECTORY);
	add_path("/dev/null", O_RDWR);
	add_path("/dev/zero", O_RDONLY);
	add_path("/proc/self/stat", O_RDONLY);
	add_path("/proc/cpuinfo", O_RDONLY);
	add_path("fifo", O_RDWR);
	removed = open("removed", O_CREAT | O_RDWR | O_ASYNC, 0600);
	add(removed);
	add(open("removed", O_RDONLY | O_ASYNC | O_APPEND));
	CHECK(unlink("removed") == 0);
	if (argc > 1) { /* their names are inode numbers, which differ after a restart */
		add_path(".", O_TMPFILE | O_RDWR);
		add_path(".", O_TMPFILE | O_RDWR | O_SYNC);
		add_path(".", O_TMPFILE | O_WRONLY | O_DSYNC | O_APPEND);
	}
	add_pair(0);
	add_pair(O_DIRECT);
	set(eventfd(1, 0), O_NONBLOCK);
	set(eventfd(1, 0), O_ASYNC);
	set(timerfd_create(CLOCK_MONOTONIC, 0), O_NONBLOCK);
	set(signalfd(-1, &none, 0), O_NONBLOCK);
	set(epoll_create1(0), 0);
	set(inotify_init1(0), O_ASYNC);
	set(memfd_create("memory", 0), O_APPEND);
	set(socket(AF_INET, SOCK_STREAM, 0), O_ASYNC);
	set(socket(AF_INET, SOCK_DGRAM, 0), O_ASYNC | O_NONBLOCK);
	set(socket(AF_NETLINK, SOCK_RAW, 0), O_ASYNC);
	ready();
	await_go();
	for (int i = 0; i < count; i++)
		if (fcntl(fds[i], F_GETFL) != flags[i])
			fail("fd %d, number %d: flags %#o, want %#o", fds[i], i, fcntl(fds[i], F_GETFL), flags[i]);
	pass();
}
