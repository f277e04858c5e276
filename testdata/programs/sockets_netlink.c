/*
 * Netlink sockets: one that is not bound, one whose port ID the kernel has chosen, one with a port ID, groups, options and a filter that
 * the program has chosen. After the restart the kernel answers on each, and each has the same state. With an argument, the program has
 * not read a message.
 */
#include "inet.h"

#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static unsigned port(int fd)
{
	struct sockaddr_nl a;
	socklen_t length = sizeof a;

	CHECK(getsockname(fd, (void *)&a, &length) == 0);
	EQUAL(a.nl_family, AF_NETLINK);
	return a.nl_pid;
}

/* ask requests the loopback interface, and returns the type of the answer. */
static int ask(int fd)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST, 7, 0}, {.ifi_index = 1}};
	char answer[16384];
	struct nlmsghdr *got = (void *)answer;

	EQUAL(send(fd, &request, sizeof request, 0), sizeof request);
	CHECK(recv(fd, answer, sizeof answer, 0) > (ssize_t)sizeof *got);
	EQUAL(got->nlmsg_seq, 7);
	EQUAL(got->nlmsg_pid, port(fd));
	return got->nlmsg_type;
}

static uint64_t groups(int fd)
{
	uint32_t words[8] = {0};
	socklen_t length = sizeof words;

	CHECK(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &length) == 0);
	return words[0] | (uint64_t)words[1] << 32;
}

/* unread leaves an answer of the kernel in the queue until there is a file go. */
static int unread(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST, 7, 0}, {.ifi_index = 1}};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	EQUAL(send(fd, &request, sizeof request, 0), sizeof request);
	ready();
	await_go();
	CHECK(recv(fd, &request, sizeof request, 0) == sizeof request);
	pass();
	return 0;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return unread();

	int fresh = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), chosen = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int own = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE), events_of_devices = socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
	struct sock_filter none[] = {{BPF_RET | BPF_K, 0, 0, 0}};
	struct sock_fprog program = {1, none};
	unsigned ports[2];

	EQUAL(ask(chosen), RTM_NEWLINK);
	ports[0] = port(chosen);
	a.nl_pid = 0x70000000u + getpid();
	CHECK(bind(own, (void *)&a, sizeof a) == 0);
	set_option(own, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NSID); /* above 27 */
	set_option(own, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 34);
	ports[1] = port(own);
	set_option(own, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
	set_option(own, SOL_NETLINK, NETLINK_EXT_ACK, 1);
	set_option(own, SOL_SOCKET, SO_RCVBUF, 50000);
	uint64_t joined = groups(own);
	CHECK(joined & 1ull << 33);
	set_option(events_of_devices, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 1);
	CHECK(setsockopt(events_of_devices, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
	set_option(events_of_devices, SOL_SOCKET, SO_LOCK_FILTER, 1);

	ready();
	await_go();

	EQUAL(port(fresh), 0);
	EQUAL(port(chosen), ports[0]);
	EQUAL(port(own), ports[1]);
	EQUAL(groups(chosen), 0);
	CHECK(groups(own) == joined);
	EQUAL(groups(events_of_devices), 1);
	EQUAL(get_option(own, SOL_NETLINK, NETLINK_NO_ENOBUFS), 1);
	EQUAL(get_option(own, SOL_NETLINK, NETLINK_EXT_ACK), 1);
	EQUAL(get_option(own, SOL_NETLINK, NETLINK_CAP_ACK), 0);
	EQUAL(get_option(own, SOL_SOCKET, SO_RCVBUF), 100000);
	socklen_t length = 0;
	CHECK(getsockopt(events_of_devices, SOL_SOCKET, SO_GET_FILTER, 0, &length) == 0);
	CHECK(setsockopt(events_of_devices, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int)) == -1 && errno == EPERM);
	EQUAL(length, 1);
	EQUAL(ask(fresh), RTM_NEWLINK);
	EQUAL(ask(chosen), RTM_NEWLINK);
	EQUAL(ask(own), RTM_NEWLINK);
	pass();
}
