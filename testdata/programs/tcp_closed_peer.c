/*
 * A connection whose accepted end has been closed, while the listening socket is still open. The port of the listening socket is the
 * higher one: a restart makes the closed end first, by connect(2) from this port.
 */
#include "tcp.h"

int main(void)
{
	int listener = listening("127.0.0.1", 5), client = tcp(AF_INET), again;
	int port = ntohs(own(listener).v4.sin_port), low = port - 1;
	union address at, end, to = own(listener);
	char bytes[8];

	for (;; low--) {
		at = address("127.0.0.1", low);
		if (bind(client, &at.a, sizeof at.v4) == 0)
			break;
		CHECK(errno == EADDRINUSE && low > port - 100);
	}
	CHECK(connect(client, &to.a, sizeof to.v4) == 0);
	again = accepted(listener);
	EQUAL(write(again, "last", 4), 4);
	CHECK(close(again) == 0);
	end = own(client);
	ready();
	await_go();

	same(own(client), end);
	same(own(listener), to);
	EQUAL(recv(client, bytes, sizeof bytes, MSG_WAITALL), 4);
	CHECK(memcmp(bytes, "last", 4) == 0);
	EQUAL(get(client, SOL_SOCKET, SO_REUSEADDR), 0);
	again = connected(listener);
	CHECK(again >= 0 && accepted(listener) >= 0);
	pass();
}
