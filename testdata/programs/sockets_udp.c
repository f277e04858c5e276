/*
 * UDP sockets in one process: not bound, bound, connected; of IPv4, IPv6 and both; datagrams with their senders, order and
 * boundaries, of senders that are open or closed; options, multicast groups, filters, ports that several sockets have, an error
 * that waits, and UDP-Lite.
 */
#include "inet.h"

#include <linux/filter.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/time.h>

static int udp(const char *host, int port)
{
	int fd = socket(family_of(host), SOCK_DGRAM, 0);

	CHECK(fd >= 0);
	bind_to(fd, host, port);
	return fd;
}

static void mail(int fd, const char *host, int port, const char *text)
{
	union address a;
	socklen_t length = address(&a, host, port);

	if (sendto(fd, text, strlen(text), 0, &a.any, length) != (ssize_t)strlen(text))
		fail("send to %s %d", host, port);
}

static void got(int fd, const char *text, const char *host, int port)
{
	char data[200];
	union address from;
	socklen_t length = sizeof from;
	ssize_t n = recvfrom(fd, data, sizeof data, MSG_DONTWAIT, &from.any, &length);

	if (n != (ssize_t)strlen(text) || memcmp(data, text, n))
		fail("got %zd bytes, want \"%s\"", n, text);
	is_address(&from, host, port);
}

static void empty(int fd)
{
	char byte;

	CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static void disconnect(int fd)
{
	struct sockaddr none = {AF_UNSPEC, {0}};

	CHECK(connect(fd, &none, sizeof none) == 0);
}

/* information receives a datagram and returns the data of one control message. */
static int information(int fd, int level, int type, void *data, size_t size)
{
	char text[4000], control[256];
	struct iovec vector = {text, sizeof text};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int n = recvmsg(fd, &message, MSG_DONTWAIT);

	CHECK(n >= 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == level && c->cmsg_type == type) {
			memcpy(data, CMSG_DATA(c), size);
			return n;
		}
	fail("no control message %d", type);
}

/* Options that are not the default. */
static const struct {
	int family, level, number, value;
} options[] = {
	{AF_INET, SOL_SOCKET, SO_BROADCAST, 1},
	{AF_INET, SOL_SOCKET, SO_RCVBUF, 60000},
	{AF_INET, SOL_SOCKET, SO_SNDBUF, 70000},
	{AF_INET, SOL_SOCKET, SO_TIMESTAMPNS, 1},
	{AF_INET, SOL_SOCKET, SO_RXQ_OVFL, 1},
	{AF_INET, SOL_SOCKET, SO_NOFCS, 1},
	{AF_INET, SOL_SOCKET, SO_WIFI_STATUS, 1},
	{AF_INET, SOL_SOCKET, SO_INCOMING_CPU, 1},
	{AF_INET, SOL_IP, IP_TOS, 0x20},
	{AF_INET, SOL_SOCKET, SO_PRIORITY, 0}, /* IP_TOS has changed it */
	{AF_INET, SOL_IP, IP_TTL, 17},
	{AF_INET, SOL_IP, IP_PKTINFO, 1},
	{AF_INET, SOL_IP, IP_RECVERR, 1},
	{AF_INET, SOL_IP, IP_RECVTTL, 1},
	{AF_INET, SOL_IP, IP_RECVTOS, 1},
	{AF_INET, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO},
	{AF_INET, SOL_IP, IP_FREEBIND, 1},
	{AF_INET, SOL_IP, IP_MULTICAST_TTL, 9},
	{AF_INET, SOL_IP, IP_MULTICAST_LOOP, 0},
	{AF_INET, SOL_UDP, UDP_CORK, 1},
	{AF_INET, SOL_UDP, UDP_SEGMENT, 700},
	{AF_INET6, SOL_SOCKET, SO_PRIORITY, 5},
	{AF_INET6, SOL_IPV6, IPV6_V6ONLY, 1},
	{AF_INET6, SOL_IPV6, IPV6_UNICAST_HOPS, 33},
	{AF_INET6, SOL_IPV6, IPV6_MULTICAST_HOPS, 7},
	{AF_INET6, SOL_IPV6, IPV6_MULTICAST_LOOP, 0},
	{AF_INET6, SOL_IPV6, IPV6_MULTICAST_IF, 1},
	{AF_INET6, SOL_IPV6, IPV6_RECVPKTINFO, 1},
	{AF_INET6, SOL_IPV6, IPV6_RECVHOPLIMIT, 1},
	{AF_INET6, SOL_IPV6, IPV6_TCLASS, 0x40},
	{AF_INET6, SOL_IPV6, IPV6_RECVERR, 1},
	{AF_INET6, SOL_IPV6, IPV6_2292HOPOPTS, 1},
	{AF_INET6, SOL_IPV6, IPV6_2292DSTOPTS, 1},
	{AF_INET6, SOL_IPV6, IPV6_2292RTHDR, 1},
	{AF_INET6, SOL_IP, IP_TTL, 21},
};
enum { OPTIONS = sizeof options / sizeof *options };

/* A filter that takes only datagrams whose first byte is 'y'. */
static struct sock_filter only_y[] = {
	{BPF_LD | BPF_B | BPF_ABS, 0, 0, 8},
	{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'y'},
	{BPF_RET | BPF_K, 0, 0, 0xffff},
	{BPF_RET | BPF_K, 0, 0, 0},
};

static int member(int fd, int level, const char *group)
{
	char text[sizeof(struct group_filter)] = {0};
	struct group_filter *filter = (void *)text;
	socklen_t length = sizeof text;

	filter->gf_interface = 1;
	address((void *)&filter->gf_group, group, 0);
	filter->gf_numsrc = 1;
	if (getsockopt(fd, level, MCAST_MSFILTER, filter, &length))
		return -1;
	return filter->gf_fmode << 8 | filter->gf_numsrc;
}

int main(void)
{
	int set[OPTIONS], values[OPTIONS];
	int plain = socket(AF_INET, SOCK_DGRAM, 0);

	for (int i = 0; i < OPTIONS; i++) {
		set[i] = i && options[i].family == options[i - 1].family ? set[i - 1] : socket(options[i].family, SOCK_DGRAM, 0);
		set_option(set[i], options[i].level, options[i].number, options[i].value);
		values[i] = get_option(set[i], options[i].level, options[i].number);
	}
	struct timeval limit = {3, 500000}, now;
	CHECK(setsockopt(set[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);

	/* Datagrams of a sender that is open, one that is closed, and one without content. */
	int post = udp("127.0.0.1", 0), sender = udp("127.0.0.1", 0), gone = udp("127.0.0.3", 0);
	int at = own_port(post), from = own_port(sender), of = own_port(gone);
	mail(sender, "127.0.0.1", at, "one");
	mail(gone, "127.0.0.1", at, "two");
	mail(sender, "127.0.0.1", at, "");
	mail(sender, "127.0.0.1", at, "four");
	CHECK(close(gone) == 0);

	/* A pair that is connected both ways, and a client whose address connect(2) has chosen. */
	int left = udp("127.0.0.1", 0), right = udp("127.0.0.1", 0);
	join(left, "127.0.0.1", own_port(right));
	join(right, "127.0.0.1", own_port(left));
	CHECK(write(left, "hello", 5) == 5);
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	join(client, "127.0.0.1", at);
	int its = own_port(client);

	/* A datagram that is older than the connection. */
	int early = udp("127.0.0.1", 0);
	mail(sender, "127.0.0.1", own_port(early), "before");
	join(early, "127.0.0.1", at);

	/* IPv6, and one socket for both. */
	int six = udp("::1", 0), both = udp("::", 0);
	mail(six, "::1", own_port(both), "of six");
	mail(sender, "127.0.0.1", own_port(both), "of four");
	mail(both, "::1", own_port(six), "of both");

	/* Two sockets with one port: each has the datagrams that came to it. */
	int shared[2], shared_port = 0, mine = 0;
	for (int i = 0; i < 2; i++) {
		shared[i] = socket(AF_INET, SOCK_DGRAM, 0);
		set_option(shared[i], SOL_SOCKET, SO_REUSEPORT, 1);
		bind_to(shared[i], "127.0.0.1", shared_port);
		shared_port = own_port(shared[i]);
	}
	for (int i = 0; i < 20; i++) {
		int s = udp("127.0.0.1", 0);

		mail(s, "127.0.0.1", shared_port, "share");
		CHECK(close(s) == 0);
	}

	/* Control messages of the kernel about a datagram. */
	int told = udp("0.0.0.0", 0);
	set_option(told, SOL_IP, IP_PKTINFO, 1);
	set_option(told, SOL_IP, IP_RECVTTL, 1);
	int near = udp("127.0.0.1", 0);
	set_option(near, SOL_IP, IP_TTL, 3);
	for (int i = 0; i < 2; i++)
		mail(near, "127.0.0.2", own_port(told), "whereto");
	CHECK(close(near) == 0);

	/* Several datagrams that the kernel gives out as one (UDP_GRO). */
	int joined = udp("127.0.0.1", 0);
	set_option(joined, SOL_UDP, UDP_GRO, 1);
	set_option(sender, SOL_UDP, UDP_SEGMENT, 1000);
	char large[2500];
	memset(large, 'x', sizeof large);
	union address to;
	socklen_t length = address(&to, "127.0.0.1", own_port(joined));
	EQUAL(sendto(sender, large, sizeof large, 0, &to.any, length), sizeof large);
	set_option(sender, SOL_UDP, UDP_SEGMENT, 0);

	/* A queue that is full. */
	int full = udp("127.0.0.1", 0), count = 0;
	set_option(full, SOL_SOCKET, SO_RCVBUF, 20000);
	for (int i = 0; i < 100; i++) {
		char number[] = {'a' + i / 26, 'a' + i % 26, 0};

		mail(sender, "127.0.0.1", own_port(full), number);
	}

	/* Multicast groups, a device, a filter, shutdown(2), an error, and another protocol. */
	int group = udp("0.0.0.0", 0), group6 = udp("::", 0);
	struct ip_mreqn request = {.imr_ifindex = 1};
	inet_pton(AF_INET, "239.1.2.3", &request.imr_multiaddr);
	CHECK(setsockopt(group, SOL_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) == 0);
	struct group_source_req source = {.gsr_interface = 1};
	address((void *)&source.gsr_group, "239.1.2.4", 0);
	address((void *)&source.gsr_source, "127.0.0.9", 0);
	CHECK(setsockopt(group, SOL_IP, MCAST_JOIN_SOURCE_GROUP, &source, sizeof source) == 0);
	struct ipv6_mreq request6 = {.ipv6mr_interface = 1};
	inet_pton(AF_INET6, "ff05::1:3", &request6.ipv6mr_multiaddr);
	CHECK(setsockopt(group6, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &request6, sizeof request6) == 0);
	int device = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(setsockopt(device, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == 0);
	bind_to(device, "0.0.0.0", 0);
	mail(sender, "127.0.0.1", own_port(device), "on lo");
	int filtered = udp("127.0.0.1", 0);
	struct sock_fprog program = {4, only_y};
	mail(sender, "127.0.0.1", own_port(filtered), "no");
	CHECK(setsockopt(filtered, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
	CHECK(setsockopt(filtered, SOL_SOCKET, SO_LOCK_FILTER, &(int){1}, sizeof(int)) == 0);
	int ended = udp("127.0.0.1", 0);
	join(ended, "127.0.0.1", at);
	CHECK(shutdown(ended, SHUT_RD) == 0);
	int silent[2]; /* shutdown for sending, and both ways */
	for (int i = 0; i < 2; i++) {
		silent[i] = udp("127.0.0.1", 0);
		join(silent[i], "127.0.0.1", at);
		CHECK(shutdown(silent[i], i ? SHUT_RDWR : SHUT_WR) == 0);
	}
	int refused = socket(AF_INET, SOCK_DGRAM, 0), nobody = udp("127.0.0.1", 0), nobodys = own_port(nobody);
	CHECK(close(nobody) == 0);
	join(refused, "127.0.0.1", nobodys);
	CHECK(write(refused, "?", 1) == 1);
	CHECK(events(refused) & POLLERR);
	int lite = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	if (lite >= 0) {
		bind_to(lite, "127.0.0.1", 0);
		set_option(lite, IPPROTO_UDPLITE, 11, 20); /* UDPLITE_RECV_CSCOV */
		int other = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
		mail(other, "127.0.0.1", own_port(lite), "of a light one, with some more text");
		CHECK(close(other) == 0);
	}
	int ports[] = {own_port(both), own_port(six), own_port(device), own_port(filtered)};

	ready();
	await_go();

	EQUAL(own_port(plain), 0);
	no_peer(plain);
	for (int i = 0; i < OPTIONS; i++) {
		int value = get_option(set[i], options[i].level, options[i].number);

		if (value != values[i])
			fail("option %d of level %d is %d, want %d", options[i].number, options[i].level, value, values[i]);
	}
	length = sizeof now;
	CHECK(getsockopt(set[0], SOL_SOCKET, SO_RCVTIMEO, &now, &length) == 0);
	CHECK(now.tv_sec == 3 && now.tv_usec == 500000);

	own_address(post, "127.0.0.1", at);
	own_address(sender, "127.0.0.1", from);
	got(post, "one", "127.0.0.1", from);
	got(post, "two", "127.0.0.3", of);
	got(post, "", "127.0.0.1", from);
	got(post, "four", "127.0.0.1", from);
	empty(post);

	peer_address(left, "127.0.0.1", own_port(right));
	peer_address(right, "127.0.0.1", own_port(left));
	got(right, "hello", "127.0.0.1", own_port(left));
	CHECK(write(right, "answer", 6) == 6);
	got(left, "answer", "127.0.0.1", own_port(right));
	own_address(client, "127.0.0.1", its);
	peer_address(client, "127.0.0.1", at);
	CHECK(write(client, "question", 8) == 8);
	got(post, "question", "127.0.0.1", its);
	disconnect(client);
	no_peer(client);
	own_address(client, "0.0.0.0", own_port(client));
	got(early, "before", "127.0.0.1", from);
	mail(sender, "127.0.0.1", own_port(early), "after");
	empty(early);

	own_address(both, "::", ports[0]);
	own_address(six, "::1", ports[1]);
	got(both, "of six", "::1", ports[1]);
	got(both, "of four", "::ffff:127.0.0.1", from);
	got(six, "of both", "::1", ports[0]);
	mail(sender, "127.0.0.1", ports[0], "more");
	got(both, "more", "::ffff:127.0.0.1", from);

	for (int i = 0; i < 2; i++) {
		own_address(shared[i], "127.0.0.1", shared_port);
		for (char text[8]; recv(shared[i], text, sizeof text, MSG_DONTWAIT) == 5; mine++)
			CHECK(memcmp(text, "share", 5) == 0);
	}
	EQUAL(mine, 20);

	struct in_pktinfo where;
	int ttl, size;
	information(told, SOL_IP, IP_PKTINFO, &where, sizeof where);
	EQUAL(where.ipi_ifindex, 1);
	EQUAL(ntohl(where.ipi_addr.s_addr), 0x7f000002);
	information(told, SOL_IP, IP_TTL, &ttl, sizeof ttl);
	EQUAL(ttl, 3);
	EQUAL(information(joined, SOL_UDP, UDP_GRO, &size, sizeof size), sizeof large);
	EQUAL(size, 1000);

	for (char number[2]; recv(full, number, 2, MSG_DONTWAIT) == 2; count++)
		CHECK(number[0] == 'a' + count / 26 && number[1] == 'a' + count % 26);
	CHECK(count > 10 && count < 100);
	printf("%d datagrams in a full queue\n", count);

	EQUAL(member(group, SOL_IP, "239.1.2.3"), MCAST_EXCLUDE << 8);
	EQUAL(member(group, SOL_IP, "239.1.2.4"), MCAST_INCLUDE << 8 | 1);
	EQUAL(member(group, SOL_IP, "239.1.2.5"), -1);
	EQUAL(member(group6, SOL_IPV6, "ff05::1:3"), MCAST_EXCLUDE << 8);
	char name[IFNAMSIZ] = "";
	length = sizeof name;
	CHECK(getsockopt(device, SOL_SOCKET, SO_BINDTODEVICE, name, &length) == 0);
	CHECK(strcmp(name, "lo") == 0);
	own_address(device, "0.0.0.0", ports[2]);
	got(device, "on lo", "127.0.0.1", from);
	CHECK(setsockopt(filtered, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int)) == -1 && errno == EPERM);
	got(filtered, "no", "127.0.0.1", from);
	mail(sender, "127.0.0.1", ports[3], "no more");
	mail(sender, "127.0.0.1", ports[3], "yes");
	got(filtered, "yes", "127.0.0.1", from);
	CHECK(events(ended) & POLLRDHUP);
	EQUAL(send(ended, "x", 1, MSG_NOSIGNAL), 1);
	for (int i = 0; i < 2; i++) {
		EQUAL(send(silent[i], "x", 1, MSG_NOSIGNAL), -1);
		EQUAL(errno, EPIPE);
		EQUAL(!!(events(silent[i]) & POLLRDHUP), i);
	}
	peer_address(refused, "127.0.0.1", nobodys);
	EQUAL(get_option(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	EQUAL(get_option(refused, SOL_SOCKET, SO_ERROR), 0);
	if (lite >= 0) {
		char text[100];

		EQUAL(get_option(lite, IPPROTO_UDPLITE, 11), 20);
		EQUAL(recv(lite, text, sizeof text, MSG_DONTWAIT), 35);
	}
	pass();
}
