/*
 * State of UDP sockets that a checkpoint cannot save, half of the time: a datagram that is not complete (MSG_MORE), and an error that
 * the program has not read (IP_RECVERR).
 */
#include "check.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

/* A UDP socket that is connected to a port. */
static int connected(struct sockaddr_in to)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK(s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to) == 0);
	return s;
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in nobody = address;
	int receives = socket(AF_INET, SOCK_DGRAM, 0), on = 1, more, refused;
	socklen_t size = sizeof address;
	char data[8];

	CHECK(bind(receives, (struct sockaddr *)&address, size) == 0);
	CHECK(getsockname(receives, (struct sockaddr *)&address, &size) == 0);
	more = connected(address);
	nobody.sin_port = htons(1);
	refused = connected(nobody);
	CHECK(setsockopt(refused, SOL_IP, IP_RECVERR, &on, sizeof on) == 0);
	ready();
	while (access("go", F_OK)) {
		struct msghdr m = {0};
		struct pollfd error = {.fd = refused};

		EQUAL(send(more, "one ", 4, MSG_MORE), 4);
		EQUAL(send(refused, "x", 1, 0), 1);
		EQUAL(poll(&error, 1, 10000), 1);
		pause_ms(30);
		EQUAL(send(more, "two", 3, 0), 3);
		CHECK(recvmsg(refused, &m, MSG_ERRQUEUE) == 0);
		EQUAL(recv(receives, data, sizeof data, 0), 7);
		CHECK(!memcmp(data, "one two", 7));
		pause_ms(30);
	}
	pass();
}
