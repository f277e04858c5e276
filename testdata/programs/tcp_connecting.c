/* A non-blocking connect under way (SYN_SENT) to a listening socket of the program, whose queue of connections is full. */
#include "tcp.h"

int main(void)
{
	int listener = listening("127.0.0.1", 0), first = connected(listener), late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), server;
	union address to = own(listener), from;
	struct pollfd out = {late, POLLOUT, 0};

	CHECK(connect(late, &to.a, sizeof to.v4) == -1 && errno == EINPROGRESS);
	from = own(late);
	EQUAL(poll(&out, 1, 50), 0);
	ready();
	await_go();

	EQUAL(poll(&out, 1, 0), 0);
	same(own(late), from);
	server = accepted(listener);
	same(peer(server), own(first));
	EQUAL(poll(&out, 1, 20000), 1); /* the kernel tries again after 1, 3 or 7 seconds */
	EQUAL(get(late, SOL_SOCKET, SO_ERROR), 0);
	server = accepted(listener);
	same(peer(server), from);
	put(late, "to the server");
	take(server, "to the server");
	pass();
}
