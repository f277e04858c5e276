/* An epoll instance with an eventfd and a userfaultfd, which a checkpoint refuses. Argument: what takes the place of the latter. */
#include "check.h"

#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

int main(int argc, char **argv)
{
	struct epoll_event e = {EPOLLIN, {.u32 = 1}};
	int instance = epoll_create1(0), event = eventfd(0, EFD_NONBLOCK);
	int faults = syscall(SYS_userfaultfd, O_NONBLOCK | UFFD_USER_MODE_ONLY);
	uint64_t value = 7;
	char link[40], target[40] = "";

	CHECK(argc == 2 && instance == 3 && event == 4 && faults == 5);
	CHECK(epoll_ctl(instance, EPOLL_CTL_ADD, event, &e) == 0);
	e.data.u32 = 2;
	CHECK(epoll_ctl(instance, EPOLL_CTL_ADD, faults, &e) == 0);
	ready();
	await_go();

	snprintf(link, sizeof link, "/proc/self/fd/%d", faults);
	if (readlink(link, target, sizeof target - 1) < 0)
		CHECK(errno == ENOENT);
	if (strcmp(target, argv[1]))
		fail("fd %d leads to \"%s\", want \"%s\"", faults, target, argv[1]);
	EQUAL(epoll_ctl(instance, EPOLL_CTL_DEL, faults, 0), -1);
	EQUAL(epoll_wait(instance, &e, 1, 0), 0);
	snprintf(link, sizeof link, "/proc/self/fd/%d", event);
	memset(target, 0, sizeof target);
	if (readlink(link, target, sizeof target - 1) > 0 && strcmp(target, "/dev/null")) {
		CHECK(write(event, &value, sizeof value) == sizeof value);
		CHECK(epoll_wait(instance, &e, 1, 0) == 1 && e.data.u32 == 1);
	} else
		say("NO EVENTFD\n");
	pass();
}
