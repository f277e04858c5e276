/*
 * ICMP sockets of ping(8) and raw sockets, in a network namespace of the program's own: identifiers, addresses, options and filters.
 * After the restart each sends an echo request and gets the answer.
 */
#include "inet.h"

#include <linux/icmp.h>
#include <linux/icmpv6.h>

static void echo(int fd, const char *host, int type, int answer, int skip)
{
	struct icmphdr request = {.type = type, .un.echo.sequence = htons(9)}, *got;
	union address to;
	socklen_t length = address(&to, host, 0);
	struct pollfd p = {fd, POLLIN, 0};
	char text[200];

	if (type == ICMP_ECHO) { /* the sender on a raw socket of IPv4 must compute the checksum; this one is of the header alone */
		uint32_t sum = 0;

		for (size_t i = 0; i < sizeof request; i += 2)
			sum += *(uint16_t *)((char *)&request + i);
		request.checksum = ~(sum + (sum >> 16));
	}
	EQUAL(sendto(fd, &request, sizeof request, 0, &to.any, length), sizeof request);
	do {
		EQUAL(poll(&p, 1, 20000), 1);
		CHECK(recv(fd, text, sizeof text, 0) >= skip + (int)sizeof *got);
		got = (void *)(text + skip);
	} while (got->type == type); /* a raw socket gets the request as well */
	EQUAL(got->type, answer);
	EQUAL(got->un.echo.sequence, request.un.echo.sequence);
}

int main(void)
{
	int ping, ping6, id, raw, raw6, header;

	ping = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	ping6 = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
	CHECK(ping >= 0 && ping6 >= 0);
	echo(ping, "127.0.0.1", ICMP_ECHO, ICMP_ECHOREPLY, 0);
	id = own_port(ping);
	set_option(ping, SOL_IP, IP_TTL, 5);
	raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	header = socket(AF_INET, SOCK_RAW, 253);
	CHECK(raw >= 0 && raw6 >= 0 && header >= 0);
	bind_to(raw, "127.0.0.1", 0);
	join(raw, "127.0.0.1", 0);
	set_option(raw, SOL_RAW, 1, ~(1 << ICMP_ECHOREPLY | 1 << ICMP_ECHO)); /* ICMP_FILTER */
	set_option(raw6, SOL_IPV6, IPV6_RECVHOPLIMIT, 1);
	set_option(header, SOL_IP, IP_HDRINCL, 1);

	ready();
	await_go();

	EQUAL(own_port(ping), id);
	EQUAL(own_port(ping6), 0);
	EQUAL(get_option(ping, SOL_IP, IP_TTL), 5);
	echo(ping, "127.0.0.1", ICMP_ECHO, ICMP_ECHOREPLY, 0);
	echo(ping6, "::1", ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY, 0);
	own_address(raw, "127.0.0.1", IPPROTO_ICMP);
	EQUAL(send(raw, "12345678", 8, 0), 8); /* it is connected, but without a port, so getpeername(2) does not show it */
	EQUAL(get_option(raw, SOL_RAW, 1), ~(1 << ICMP_ECHOREPLY | 1 << ICMP_ECHO));
	EQUAL(get_option(raw6, SOL_IPV6, IPV6_RECVHOPLIMIT), 1);
	EQUAL(get_option(header, SOL_IP, IP_HDRINCL), 1);
	echo(raw, "127.0.0.1", ICMP_ECHO, ICMP_ECHOREPLY, 20);
	echo(raw6, "::1", ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY, 0);
	pass();
}
