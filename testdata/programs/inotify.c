/*
 * inotify: numbers of watches, also after others were removed; masks; one-shot watches before and after their event; a directory that was
 * renamed; a file that was deleted while it is open; a symbolic link; an instance that a child shares; a thread that sleeps in read; epoll.
 */
#include "group.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int sleeping;

static int watch(int in, const char *path, uint32_t mask)
{
	int wd = inotify_add_watch(in, path, mask);

	if (wd < 0)
		fail("watch %s", path);
	return wd;
}

/* expect reads one event. */
static void expect(int in, int wd, uint32_t mask, const char *name)
{
	union {
		struct inotify_event event;
		char bytes[sizeof(struct inotify_event) + 256];
	} b;
	size_t room = sizeof b.event + (name ? (strlen(name) / 16 + 1) * 16 : 0); /* of one event */

	EQUAL(read(in, &b, room), room);
	EQUAL(b.event.wd, wd);
	EQUAL(b.event.mask, mask);
	if (name && strcmp(b.event.name, name))
		fail("event of %s, want %s", b.event.name, name);
}

static void no_more(int in)
{
	int n;

	CHECK(ioctl(in, FIONREAD, &n) == 0);
	EQUAL(n, 0);
}

static int file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	return fd;
}

static void touch(const char *path)
{
	CHECK(close(file(path)) == 0);
}

static void *sleeps(void *wd)
{
	expect(sleeping, *(int *)wd, IN_CREATE, "wakes");
	return 0;
}

static int shares(long in)
{
	await_go();
	expect(in, 1, IN_CREATE, "first");
	mark("took");
	return 0;
}

int main(void)
{
	int in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), common = inotify_init1(0), empty = inotify_init1(0);
	int d, f, once, fired, moved, gone, link, far, deleted, set, sleeper;
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 9};
	pthread_t thread;
	pid_t other;

	CHECK(mkdir("d", 0700) == 0 && mkdir("away", 0700) == 0 && mkdir("c", 0700) == 0 && mkdir("s", 0700) == 0);
	touch("f");
	touch("once");
	touch("fired");
	deleted = file("gone");
	CHECK(symlink("nowhere", "link") == 0);
	for (int i = 0; i < 30; i++)
		CHECK(inotify_rm_watch(in, watch(in, "f", IN_OPEN)) == 0);
	d = watch(in, "d", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_EXCL_UNLINK);
	f = watch(in, "f", IN_MODIFY);
	CHECK(watch(in, "f", IN_ATTRIB | IN_MASK_ADD) == f);
	for (int i = 0; i < 1500; i++)
		CHECK(inotify_rm_watch(in, watch(in, "c", IN_OPEN)) == 0);
	once = watch(in, "once", IN_OPEN | IN_ONESHOT);
	fired = watch(in, "fired", IN_OPEN | IN_ONESHOT);
	moved = watch(in, "away", IN_CREATE);
	gone = watch(in, "gone", IN_MODIFY);
	link = watch(in, "link", IN_DELETE_SELF | IN_DONT_FOLLOW);
	far = watch(in, "/", IN_UNMOUNT | IN_DELETE_SELF);
	EQUAL(d, 31);
	EQUAL(f, 32);
	EQUAL(once, 1533);
	touch("fired");
	CHECK(rename("away", "here") == 0);
	CHECK(unlink("gone") == 0);
	while (ioctl(in, FIONREAD, &(int){0}) == 0) {
		char buffer[4096];

		if (read(in, buffer, sizeof buffer) < 0)
			break;
	}
	EQUAL(errno, EAGAIN);
	EQUAL(inotify_rm_watch(in, fired), -1);

	EQUAL(watch(common, "c", IN_CREATE), 1);
	other = child(shares, common);
	sleeping = inotify_init1(0);
	sleeper = watch(sleeping, "s", IN_CREATE);
	CHECK(pthread_create(&thread, 0, sleeps, &sleeper) == 0);
	set = epoll_create1(0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, in, &event) == 0);
	ready();
	await_go();

	EQUAL(epoll_wait(set, &event, 1, 0), 0);
	no_more(in);
	no_more(common);
	no_more(empty);
	EQUAL(fcntl(in, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQUAL(fcntl(common, F_GETFL) & O_NONBLOCK, 0);
	touch("d/x");
	EQUAL(epoll_wait(set, &event, 1, 0), 1);
	EQUAL(event.data.u64, 9);
	expect(in, d, IN_CREATE, "x");
	CHECK(rename("d/x", "d/y") == 0);
	expect(in, d, IN_MOVED_FROM, "x");
	expect(in, d, IN_MOVED_TO, "y");
	CHECK(unlink("d/y") == 0);
	expect(in, d, IN_DELETE, "y");
	touch("f");
	no_more(in);
	CHECK(chmod("f", 0640) == 0);
	expect(in, f, IN_ATTRIB, 0);
	CHECK(truncate("f", 3) == 0);
	expect(in, f, IN_MODIFY, 0);
	touch("once");
	expect(in, once, IN_OPEN, 0);
	expect(in, once, IN_IGNORED, 0);
	touch("once");
	touch("fired");
	touch("here/z");
	expect(in, moved, IN_CREATE, "z");
	EQUAL(write(deleted, "x", 1), 1);
	expect(in, gone, IN_MODIFY, 0);
	CHECK(unlink("link") == 0);
	expect(in, link, IN_DELETE_SELF, 0);
	expect(in, link, IN_IGNORED, 0);
	CHECK(inotify_rm_watch(in, far) == 0);
	expect(in, far, IN_IGNORED, 0);
	no_more(in);
	EQUAL(watch(in, "once", IN_OPEN), far + 1);
	touch("c/first");
	await_mark("took");
	reap(other, 0);
	no_more(common);
	touch("c/second");
	expect(common, 1, IN_CREATE, "second");
	touch("s/wakes");
	CHECK(pthread_join(thread, 0) == 0);
	EQUAL(watch(empty, "f", IN_OPEN), 1);
	pass();
}
