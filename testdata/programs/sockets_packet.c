/*
 * Packet sockets, in a network namespace of the program's own: bound to an interface and a protocol, with options, groups and a filter.
 * With "ring", one has a ring of packets. With "mapped", the program has mapped this ring.
 */
#include "check.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PROTOCOL 0x88b5 /* for experiments */

static int packet(int type, int protocol, int index)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = index};
	int fd = socket(AF_PACKET, type, 0);

	CHECK(fd >= 0);
	CHECK((!protocol && !index) || bind(fd, (void *)&a, sizeof a) == 0);
	return fd;
}

static struct sockaddr_ll own(int fd)
{
	struct sockaddr_ll a;
	socklen_t length = sizeof a;

	memset(&a, 0, sizeof a);
	CHECK(getsockname(fd, (void *)&a, &length) == 0);
	return a;
}

static int get(int fd, int level, int number)
{
	int value = 0;
	socklen_t length = sizeof value;

	CHECK(getsockopt(fd, level, number, &value, &length) == 0);
	return value;
}

static void set(int fd, int level, int number, int value) { CHECK(setsockopt(fd, level, number, &value, sizeof value) == 0); }

/* joined tells whether the loopback interface receives the packets of the group 01:00:5e:01:02:03. */
static int joined(void)
{
	FILE *groups = fopen("/proc/net/dev_mcast", "r");
	char line[200];
	int found = 0;

	CHECK(groups);
	while (fgets(line, sizeof line, groups))
		found |= strstr(line, "01005e010203") != 0;
	fclose(groups);
	return found;
}

static void transmit(int fd, const char *text)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(PROTOCOL), .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6};

	EQUAL(sendto(fd, text, strlen(text), 0, (void *)&to, sizeof to), strlen(text));
}

static int next(int fd, char *text, size_t size, int timeout)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, timeout) == 1 ? recv(fd, text, size, 0) : 0;
}

int main(int argc, char **argv)
{
	struct sock_filter code[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'a'}, {BPF_RET, 0, 0, 100}, {BPF_RET, 0, 0, 0}};
	struct sock_fprog filter = {4, code};
	struct packet_mreq group = {.mr_ifindex = if_nametoindex("lo"), .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6, .mr_address = {1, 0, 0x5e, 1, 2, 3}};
	int lo = if_nametoindex("lo"), some, idle, raw, quiet;
	char text[200];

	some = packet(SOCK_DGRAM, PROTOCOL, lo);
	set(some, SOL_PACKET, PACKET_AUXDATA, 1);
	set(some, SOL_SOCKET, SO_RCVBUF, 30000);
	set(some, SOL_PACKET, PACKET_COPY_THRESH, 5000);
	CHECK(setsockopt(some, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0);
	set(some, SOL_SOCKET, SO_LOCK_FILTER, 1);
	CHECK(setsockopt(some, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &group, sizeof group) == 0);
	CHECK(setsockopt(some, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &group, sizeof group) == 0);
	idle = packet(SOCK_DGRAM, 0, 0);
	raw = packet(SOCK_RAW, ETH_P_ALL, 0);
	set(raw, SOL_PACKET, PACKET_ORIGDEV, 1);
	set(raw, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	set(raw, SOL_SOCKET, SO_NOFCS, 1);
	quiet = packet(SOCK_RAW, 0, lo);
	if (argc > 1) {
		struct tpacket_req ring = {4096, 4, 2048, 8};

		CHECK(setsockopt(quiet, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) == 0);
		if (strcmp(argv[1], "mapped") == 0)
			CHECK(mmap(0, 4 * 4096, PROT_READ, MAP_SHARED, quiet, 0) != MAP_FAILED);
	}

	ready();
	await_go();

	EQUAL(own(some).sll_ifindex, lo);
	EQUAL(ntohs(own(some).sll_protocol), PROTOCOL);
	EQUAL(get(some, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
	EQUAL(get(some, SOL_PACKET, PACKET_AUXDATA), 1);
	EQUAL(get(some, SOL_SOCKET, SO_RCVBUF), 60000);
	EQUAL(get(some, SOL_SOCKET, SO_LOCK_FILTER), 1);
	EQUAL(own(idle).sll_protocol, 0);
	EQUAL(own(raw).sll_ifindex, 0);
	EQUAL(ntohs(own(raw).sll_protocol), ETH_P_ALL);
	EQUAL(get(raw, SOL_PACKET, PACKET_ORIGDEV), 1);
	EQUAL(get(raw, SOL_PACKET, PACKET_IGNORE_OUTGOING), 1);
	EQUAL(get(raw, SOL_SOCKET, SO_NOFCS), 1);
	EQUAL(own(quiet).sll_ifindex, lo);
	while (next(some, text, sizeof text, 0) > 0) /* what has arrived meanwhile */
		;
	transmit(idle, "b dropped by the filter");
	transmit(idle, "a packet");
	CHECK(next(some, text, sizeof text, 5000) == 8 && memcmp(text, "a packet", 8) == 0);
	CHECK(next(idle, text, sizeof text, 0) == 0 && next(quiet, text, sizeof text, 0) == 0);
	do
		CHECK(next(raw, text, sizeof text, 5000) >= 14 + 8);
	while (memcmp(text + 14, "a packet", 8));
	for (int left = 2; left > 0; left--) {
		CHECK(joined());
		CHECK(setsockopt(some, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &group, sizeof group) == 0);
	}
	CHECK(!joined());
	pass();
}
