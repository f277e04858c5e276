/*
 * Connections between processes: a parent that plays ping-pong with each child, one of IPv4 and one of IPv6, children that wait in
 * accept(2) of a listening socket that they share, one that is blocked in send(2), one that waits in recv(2), and an end that two
 * children share.
 */
#include "group.h"
#include "tcp.h"

enum { PLAYERS = 2, ACCEPTORS = 2, BLOCK = 8192, BLOCKS = 3000 };

static int door, players[PLAYERS], blocked, waiting, common[2];

/* guest has a child that runs f, connected to the parent. The parent's end is the result. */
static int guest(int listening, int (*f)(long), long number, pid_t *pid)
{
	int fd = connected(listening), server = accepted(listening);

	*pid = fork();
	CHECK(*pid >= 0);
	if (*pid == 0) {
		CHECK(close(server) == 0);
		for (int i = 0; i < number; i++)
			CHECK(close(players[i]) == 0);
		CHECK(dup2(fd, 100) == 100 && close(fd) == 0);
		_exit(f(number));
	}
	CHECK(close(fd) == 0);
	return server;
}

static int player(long number)
{
	uint64_t ball;

	while (recv(100, &ball, sizeof ball, MSG_WAITALL) == sizeof ball) {
		ball++;
		EQUAL(send(100, &ball, sizeof ball, 0), sizeof ball);
	}
	return 10 + number; /* the stream ends when the parent has closed its end */
}

static int sender(long unused)
{
	static char block[BLOCK];

	(void)unused;
	for (int i = 0; i < BLOCKS; i++) {
		memset(block, i, sizeof block);
		EQUAL(send(100, block, sizeof block, 0), sizeof block);
	}
	return 30;
}

static int receiver(long unused)
{
	char bytes[100];

	(void)unused;
	EQUAL(recv(100, bytes, 6, MSG_WAITALL), 6);
	CHECK(memcmp(bytes, "packet", 6) == 0);
	return 40;
}

static int acceptor(long number)
{
	uint32_t bytes;
	int fd = accepted(door);

	EQUAL(recv(fd, &bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
	EQUAL(bytes, 4711);
	EQUAL(send(fd, &number, sizeof number, 0), sizeof number);
	return 20;
}

static int sharer(long number)
{
	await_go();
	EQUAL(send(common[1], &number, sizeof number, 0), sizeof number);
	return 50;
}

int main(void)
{
	int l6 = listening("::1", 10);
	pid_t children[PLAYERS], acceptors[ACCEPTORS], sending, receiving, sharers[2];
	uint64_t ball[PLAYERS] = {0};
	long sum = 0, number;

	door = listening("127.0.0.1", 10);
	for (int i = 0; i < PLAYERS; i++)
		players[i] = guest(i ? l6 : door, player, i, &children[i]);
	blocked = guest(door, sender, 0, &sending);
	waiting = guest(l6, receiver, 0, &receiving);
	common[0] = connected(door);
	common[1] = accepted(door);
	for (int i = 0; i < ACCEPTORS; i++)
		acceptors[i] = child(acceptor, i);
	for (int i = 0; i < 2; i++)
		sharers[i] = child(sharer, i + 1);
	CHECK(close(common[1]) == 0);

	ready();
	for (uint64_t round = 0; access("go", F_OK) || round < 1000; round++) {
		for (int i = 0; i < PLAYERS; i++)
			EQUAL(send(players[i], &ball[i], sizeof ball[i], 0), sizeof ball[i]);
		for (int i = 0; i < PLAYERS; i++) {
			EQUAL(recv(players[i], &ball[i], sizeof ball[i], MSG_WAITALL), sizeof ball[i]);
			EQUAL(ball[i], round + 1);
		}
		if (round % 100 == 0)
			pause_ms(1);
	}

	for (int i = 0; i < 2; i++) {
		EQUAL(recv(common[0], &number, sizeof number, MSG_WAITALL), sizeof number);
		sum += number;
	}
	EQUAL(sum, 3);
	for (int i = 0; i < 2; i++)
		reap(sharers[i], 50);
	put(waiting, "packet");
	reap(receiving, 40);
	for (int i = 0; i < BLOCKS; i++) {
		char block[BLOCK];

		EQUAL(recv(blocked, block, sizeof block, MSG_WAITALL), sizeof block);
		for (int at = 0; at < BLOCK; at++)
			EQUAL(block[at], (char)i);
	}
	reap(sending, 30);
	for (int i = 0; i < ACCEPTORS; i++) {
		uint32_t bytes = 4711;
		int fd = connected(door);

		EQUAL(send(fd, &bytes, sizeof bytes, 0), sizeof bytes);
		EQUAL(recv(fd, &number, sizeof number, MSG_WAITALL), sizeof number);
		sum += number;
		CHECK(close(fd) == 0);
	}
	EQUAL(sum, 4);
	for (int i = 0; i < ACCEPTORS; i++)
		reap(acceptors[i], 20);
	EQUAL(recv(common[0], &number, sizeof number, 0), 0);
	for (int i = 0; i < PLAYERS; i++)
		CHECK(shutdown(players[i], SHUT_WR) == 0);
	for (int i = 0; i < PLAYERS; i++)
		reap(children[i], 10 + i);
	pass();
}
