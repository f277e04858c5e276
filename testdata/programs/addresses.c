/*
 * Sockets with an address of the machine: TCP (listening, bound, connected with bytes both ways, not accepted yet), UDP with a datagram,
 * and connected UDP. The argument is the address. After the restart the file go has another one, which all of them must have.
 */
#include "inet.h"

static int made(int family, int type, const char *host)
{
	int fd = socket(family, type, 0);

	CHECK(fd >= 0);
	if (host)
		bind_to(fd, host, 0);
	return fd;
}

static int accepted(int listening)
{
	int fd = accept(listening, 0, 0);

	CHECK(fd >= 0);
	return fd;
}

static void put(int fd, const char *text) { EQUAL(send(fd, text, strlen(text), 0), strlen(text)); }

static void take(int fd, const char *text)
{
	char bytes[64] = "";
	struct pollfd in = {fd, POLLIN, 0};

	EQUAL(poll(&in, 1, 5000), 1);
	EQUAL(recv(fd, bytes, sizeof bytes, 0), strlen(text));
	if (strcmp(bytes, text))
		fail("%s, want %s", bytes, text);
}

/* mapped writes the IPv4-mapped address of an IPv4 address, and any other address as it is. */
static const char *mapped(const char *host, char *text)
{
	sprintf(text, strchr(host, ':') ? "%s" : "::ffff:%s", host);
	return text;
}

int main(int argc, char **argv)
{
	char host[64], text[80];

	CHECK(argc == 2);
	snprintf(host, sizeof host, "%s", argv[1]);
	int family = family_of(host), all = made(AF_INET6, SOCK_STREAM, 0), listening = made(family, SOCK_STREAM, host);
	int bound = made(family, SOCK_STREAM, host), client = made(family, SOCK_STREAM, 0), waiting = made(family, SOCK_STREAM, host);
	int own[] = {own_port(listening), own_port(bound), 0, 0, 0, 0, own_port(waiting)};

	CHECK(listen(listening, 5) == 0);
	join(client, host, own[0]);
	int server = accepted(listening);
	join(waiting, host, own[0]);
	put(client, "to the server");
	put(server, "to the client");
	own[2] = own_port(client);

	CHECK(listen(all, 5) == 0); /* on any address, also of IPv4 */
	own[3] = own_port(all);
	int other = made(family, SOCK_STREAM, 0);
	join(other, host, own[3]);
	int wide = accepted(all);
	own[4] = own_port(other);

	int udp = made(family, SOCK_DGRAM, host), sender = made(family, SOCK_DGRAM, host);
	own[5] = own_port(udp);
	int sends = own_port(sender);
	join(sender, host, own[5]);
	put(sender, "a datagram");

	ready();
	await_go();
	slurp("go", host, sizeof host);
	host[strcspn(host, "\n")] = 0;
	own_address(listening, host, own[0]);
	own_address(bound, host, own[1]);
	own_address(client, host, own[2]);
	peer_address(client, host, own[0]);
	own_address(server, host, own[0]);
	peer_address(server, host, own[2]);
	own_address(all, "::", own[3]);
	own_address(other, host, own[4]);
	peer_address(other, host, own[3]);
	own_address(wide, mapped(host, text), own[3]);
	peer_address(wide, mapped(host, text), own[4]);
	own_address(waiting, host, own[6]);
	peer_address(waiting, host, own[0]);
	own_address(udp, host, own[5]);
	own_address(sender, host, sends);
	peer_address(sender, host, own[5]);

	take(server, "to the server");
	take(client, "to the client");
	int last = accepted(listening);
	put(waiting, "accepted");
	take(last, "accepted");
	put(other, "any address");
	take(wide, "any address");

	union address from;
	socklen_t length = sizeof from;
	char bytes[64] = "";
	EQUAL(recvfrom(udp, bytes, sizeof bytes, MSG_DONTWAIT, &from.any, &length), 10);
	is_address(&from, host, sends);
	put(sender, "another datagram");
	take(udp, "another datagram");
	pass();
}
