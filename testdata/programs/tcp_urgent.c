/*
 * Connections with urgent data (MSG_OOB) that nobody has read yet, and with urgent data that was read, while the stream before it was not:
 * with SO_OOBINLINE and without, behind other bytes and as the first byte. The sockets have an owner for SIGURG.
 */
#include "tcp.h"

#include <fcntl.h>
#include <signal.h>

static volatile sig_atomic_t urgent;

static void on_urgent(int number)
{
	(void)number;
	urgent++;
}

struct end {
	int client, server;
	int inline_, read; /* SO_OOBINLINE; the byte has been read with MSG_OOB */
	const char *before, *after;
};

static void await_urgent(int count)
{
	for (int i = 0; urgent < count && i < 5000; i++)
		nanosleep(&(struct timespec){0, 1000000}, 0); /* the signal interrupts it */
	EQUAL(urgent, count);
}

static void begin(struct end *e, int listening)
{
	char byte;
	int seen = urgent;

	e->client = connected(listening);
	e->server = accepted(listening);
	set(e->client, SOL_TCP, TCP_NODELAY, 1);
	set(e->server, SOL_SOCKET, SO_OOBINLINE, e->inline_);
	CHECK(fcntl(e->server, F_SETOWN, getpid()) == 0);
	put(e->client, e->before);
	EQUAL(send(e->client, "!", 1, MSG_OOB), 1);
	await_urgent(seen + 1);
	put(e->client, e->after);
	if (e->read) {
		EQUAL(recv(e->server, &byte, 1, MSG_OOB), 1);
		EQUAL(byte, '!');
	}
}

static int at_mark(int fd)
{
	int at = -1;

	CHECK(ioctl(fd, SIOCATMARK, &at) == 0);
	return at;
}

/* A read does not go beyond the mark. */
static void end(struct end *e)
{
	struct pollfd p = {e->server, POLLPRI, 0};
	char byte, bytes[16];
	int length = strlen(e->before), seen;

	EQUAL(fcntl(e->server, F_GETOWN), getpid());
	EQUAL(get(e->server, SOL_SOCKET, SO_OOBINLINE), e->inline_);
	EQUAL(poll(&p, 1, 0), !e->read);
	EQUAL(at_mark(e->server), length == 0);
	if (length) {
		EQUAL(recv(e->server, bytes, sizeof bytes, MSG_DONTWAIT), length);
		CHECK(memcmp(bytes, e->before, length) == 0);
		EQUAL(at_mark(e->server), 1);
	}
	if (e->inline_) {
		EQUAL(recv(e->server, &byte, 1, MSG_DONTWAIT), 1);
		EQUAL(byte, '!');
	} else if (e->read) {
		CHECK(recv(e->server, &byte, 1, MSG_OOB) == -1 && errno == EINVAL);
	} else {
		EQUAL(recv(e->server, &byte, 1, MSG_OOB), 1);
		EQUAL(byte, '!');
	}
	if (*e->after)
		take(e->server, e->after);
	else
		empty(e->server);
	EQUAL(at_mark(e->server), 0);
	seen = urgent;
	EQUAL(send(e->client, "?", 1, MSG_OOB), 1);
	await_urgent(seen + 1);
}

int main(void)
{
	struct end ends[] = {
		{.before = "ab", .after = "cd"},
		{.before = "ab", .after = "cd", .inline_ = 1},
		{.before = "ab", .after = "cd", .read = 1},
		{.before = "", .after = "cd"},
		{.before = "", .after = "cd", .inline_ = 1},
		{.before = "", .after = "", .read = 1},
		{.before = "ab", .after = ""},
	};
	int count = sizeof ends / sizeof ends[0], listener = listening("127.0.0.1", 5);

	CHECK(signal(SIGURG, on_urgent) != SIG_ERR);
	for (int i = 0; i < count; i++)
		begin(&ends[i], listener);
	ready();
	await_go();
	urgent = 0;
	for (int i = 0; i < count; i++)
		end(&ends[i]);
	pass();
}
