/* Has sockets that CRAK refuses: one for each word of the command line. */
#include "check.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

static struct sockaddr_in local = {.sin_family = AF_INET};

static int opened(int family, int type, int protocol)
{
	int fd = socket(family, type, protocol);

	CHECK(fd >= 0);
	return fd;
}

static void set(int fd, int level, int number, int value) { CHECK(setsockopt(fd, level, number, &value, sizeof value) == 0); }

/* A UDP socket that is connected to a port. */
static int connected(int port)
{
	int fd = opened(AF_INET, SOCK_DGRAM, 0);

	local.sin_port = htons(port);
	CHECK(connect(fd, (void *)&local, sizeof local) == 0);
	return fd;
}

/* Attaches an eBPF program that accepts each packet. */
static void extended(int fd)
{
	struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = (unsigned long)code, .insn_cnt = 2, .license = (unsigned long)"GPL"};
	int program = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof a);

	CHECK(program >= 0);
	set(fd, SOL_SOCKET, SO_ATTACH_BPF, program);
	CHECK(close(program) == 0);
}

/* Sends a byte on a connection that nobody accepts. */
static void sends(int family, void *address, socklen_t size)
{
	int listening = opened(family, SOCK_STREAM, 0), client = opened(family, SOCK_STREAM, 0);

	CHECK(bind(listening, address, size) == 0 && listen(listening, 1) == 0);
	CHECK(getsockname(listening, address, &size) == 0 && connect(client, address, size) == 0 && send(client, "x", 1, 0) == 1);
}

/* Connects a TCP socket to itself. */
static void itself(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof a;
	int fd = opened(AF_INET, SOCK_STREAM, 0);

	CHECK(bind(fd, (void *)&a, size) == 0 && getsockname(fd, (void *)&a, &size) == 0 && connect(fd, (void *)&a, size) == 0);
}

static void make(const char *kind)
{
	struct tpacket_req ring = {.tp_block_size = 4096, .tp_block_nr = 1, .tp_frame_size = 2048, .tp_frame_nr = 2};
	struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "listening"};
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd, pair[2];

	if (!strcmp(kind, "more"))
		CHECK(send(connected(9), "x", 1, MSG_MORE) == 1);
	else if (!strcmp(kind, "tunnel"))
		set(connected(9), SOL_UDP, UDP_ENCAP, UDP_ENCAP_L2TPINUDP);
	else if (!strcmp(kind, "error")) {
		set(fd = connected(1), SOL_IP, IP_RECVERR, 1); /* nobody has port 1 */
		CHECK(send(fd, "x", 1, 0) == 1);
	} else if (!strcmp(kind, "filter"))
		extended(connected(9));
	else if (!strcmp(kind, "ring"))
		CHECK(setsockopt(opened(AF_PACKET, SOCK_RAW, 0), SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) == 0);
	else if (!strcmp(kind, "fanout"))
		set(opened(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), SOL_PACKET, PACKET_FANOUT, getpid() & 0xffff);
	else if (!strcmp(kind, "obsolete"))
		opened(AF_PACKET, SOCK_PACKET, 0);
	else if (!strcmp(kind, "netfilter"))
		opened(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	else if (!strcmp(kind, "pidfds")) {
		CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
		set(pair[0], SOL_SOCKET, SO_PASSPIDFD, 1);
		CHECK(send(pair[1], "x", 1, 0) == 1);
	} else if (!strcmp(kind, "unix-data"))
		sends(AF_UNIX, &path, sizeof path);
	else if (!strcmp(kind, "tcp-data"))
		sends(AF_INET, &any, sizeof any);
	else if (!strcmp(kind, "locked"))
		set(opened(AF_INET, SOCK_STREAM, 0), SOL_SOCKET, SO_LOCK_FILTER, 1);
	else if (!strcmp(kind, "itself"))
		itself();
	else
		fail("kind %s", kind);
}

int main(int argc, char **argv)
{
	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 1; i < argc; i++)
		make(argv[i]);
	ready();
	await_go();
	pass();
}
