/*
 * udp_outside server: answers each datagram with the sender's port, until it gets "end". It makes a file with its port.
 * udp_outside client FILE: connects a socket, as resolvers do, and keeps one that is not connected. After the restart both reach the
 * server, and the server sees the ports that they had before.
 * udp_outside thief FILE: takes the port that the file names.
 */
#include "inet.h"

/* write_port makes a file with a socket's port. */
static void write_port(int fd)
{
	char text[16];
	int out = open("port", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	snprintf(text, sizeof text, "%d", own_port(fd));
	CHECK(write(out, text, strlen(text)) == (ssize_t)strlen(text) && close(out) == 0);
}

static int read_port(const char *file)
{
	char text[16] = "";
	int in = open(file, O_RDONLY);

	CHECK(in >= 0 && read(in, text, sizeof text - 1) > 0 && close(in) == 0);
	return atoi(text);
}

static int server(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char text[16];

	bind_to(fd, "127.0.0.1", 0);
	write_port(fd);
	ready();
	for (;;) {
		union address from;
		socklen_t length = sizeof from;
		int n = recvfrom(fd, text, sizeof text, 0, &from.any, &length);

		CHECK(n >= 0);
		if (n == 3 && memcmp(text, "end", 3) == 0)
			return 0;
		snprintf(text, sizeof text, "%d", port_in(&from));
		CHECK(sendto(fd, text, strlen(text), 0, &from.any, length) > 0);
	}
}

static void ask(int fd, int port)
{
	union address to;
	socklen_t length = address(&to, "127.0.0.1", port);
	struct pollfd p = {fd, POLLIN, 0};
	char text[16] = "";

	CHECK(sendto(fd, "which?", 6, 0, &to.any, length) == 6);
	EQUAL(poll(&p, 1, 20000), 1);
	CHECK(recv(fd, text, sizeof text - 1, 0) > 0);
	EQUAL(atoi(text), own_port(fd));
}

int main(int argc, char **argv)
{
	int port, connected, plain, ports[2];

	CHECK(argc > 1);
	if (strcmp(argv[1], "server") == 0)
		return server();
	port = read_port(argv[2]);
	if (strcmp(argv[1], "thief") == 0) {
		bind_to(socket(AF_INET, SOCK_DGRAM, 0), "0.0.0.0", port);
		ready();
		await_go();
		return 0;
	}
	connected = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	join(connected, "127.0.0.1", port);
	plain = socket(AF_INET, SOCK_DGRAM, 0);
	ask(connected, port);
	ask(plain, port);
	write_port(connected);
	ports[0] = own_port(connected);
	ports[1] = own_port(plain);

	ready();
	await_go();

	EQUAL(own_port(connected), ports[0]);
	EQUAL(own_port(plain), ports[1]);
	peer_address(connected, "127.0.0.1", port);
	ask(connected, port);
	ask(plain, port);
	CHECK(write(connected, "end", 3) == 3);
	pass();
}
