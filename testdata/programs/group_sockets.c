/*
 * Unix sockets between processes: a parent that plays ping-pong with each child over a pair, children that wait in accept(2) of a
 * listening socket that they share, one that is blocked in send(2), one that waits for a packet, and a pair whose end two children
 * share. Packets and bytes are counted.
 */
#include "group.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { PLAYERS = 3, ACCEPTORS = 2, BLOCK = 4096, BLOCKS = 200 };

static int pairs[PLAYERS][2], common[2], blocked[2], waiting[2], listening;

/* The players see the end of their pairs only if nobody else has the parent's ends. */
static void leave_game(void)
{
	for (int i = 0; i < PLAYERS; i++)
		CHECK(close(pairs[i][0]) == 0);
}

static int player(long number)
{
	uint64_t ball;

	leave_game();
	for (int i = 0; i < PLAYERS; i++)
		CHECK(i == number || close(pairs[i][1]) == 0);
	while (read(pairs[number][1], &ball, sizeof ball) == sizeof ball) {
		ball++;
		EQUAL(write(pairs[number][1], &ball, sizeof ball), sizeof ball);
	}
	return 10 + number; /* the stream ends when the parent has closed its end */
}

static int acceptor(long number)
{
	uint32_t bytes;
	int fd;

	leave_game();
	fd = accept(listening, 0, 0);
	CHECK(fd >= 0);
	EQUAL(recv(fd, &bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
	EQUAL(bytes, 4711);
	EQUAL(send(fd, &number, sizeof number, 0), sizeof number);
	return 20;
}

static int sender(long unused)
{
	static char block[BLOCK];

	(void)unused;
	leave_game();
	CHECK(close(blocked[1]) == 0);
	for (int i = 0; i < BLOCKS; i++) {
		memset(block, i, sizeof block);
		EQUAL(send(blocked[0], block, sizeof block, 0), sizeof block);
	}
	return 30;
}

static int receiver(long unused)
{
	char packet[100];

	(void)unused;
	leave_game();
	EQUAL(recv(waiting[1], packet, sizeof packet, 0), 6);
	CHECK(memcmp(packet, "packet", 6) == 0);
	return 40;
}

static int sharer(long number)
{
	leave_game();
	await_go();
	EQUAL(send(common[1], &number, sizeof number, 0), sizeof number);
	return 50;
}

static int connected(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "door"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	CHECK(connect(fd, (void *)&a, sizeof a) == 0);
	return fd;
}

int main(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "door"};
	pid_t players[PLAYERS], acceptors[ACCEPTORS], blocker, receiving, sharers[2];
	uint64_t ball[PLAYERS] = {0};
	long sum = 0;

	for (int i = 0; i < PLAYERS; i++)
		CHECK(socketpair(AF_UNIX, i == 1 ? SOCK_SEQPACKET : SOCK_STREAM, 0, pairs[i]) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, common) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, blocked) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, waiting) == 0);
	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listening, (void *)&a, sizeof a) == 0);
	CHECK(listen(listening, 10) == 0);
	for (int i = 0; i < PLAYERS; i++)
		players[i] = child(player, i);
	for (int i = 0; i < PLAYERS; i++)
		CHECK(close(pairs[i][1]) == 0);
	for (int i = 0; i < ACCEPTORS; i++)
		acceptors[i] = child(acceptor, i);
	blocker = child(sender, 0);
	CHECK(close(blocked[0]) == 0);
	receiving = child(receiver, 0);
	for (int i = 0; i < 2; i++)
		sharers[i] = child(sharer, i + 1);
	CHECK(close(common[1]) == 0);

	ready();
	for (uint64_t round = 0; access("go", F_OK) || round < 1000; round++) {
		for (int i = 0; i < PLAYERS; i++)
			EQUAL(write(pairs[i][0], &ball[i], sizeof ball[i]), sizeof ball[i]);
		for (int i = 0; i < PLAYERS; i++) {
			EQUAL(read(pairs[i][0], &ball[i], sizeof ball[i]), sizeof ball[i]);
			EQUAL(ball[i], round + 1);
		}
		if (round % 100 == 0)
			pause_ms(1);
	}

	for (int i = 0; i < PLAYERS; i++) {
		CHECK(close(pairs[i][0]) == 0);
		reap(players[i], 10 + i);
	}
	for (int i = 0; i < ACCEPTORS; i++) {
		uint32_t bytes = 4711;
		long number;
		int fd = connected();

		EQUAL(send(fd, &bytes, sizeof bytes, 0), sizeof bytes);
		EQUAL(recv(fd, &number, sizeof number, 0), sizeof number);
		sum += number;
	}
	EQUAL(sum, 1);
	for (int i = 0; i < ACCEPTORS; i++)
		reap(acceptors[i], 20);
	for (int i = 0; i < BLOCKS; i++) {
		static char block[BLOCK];

		EQUAL(recv(blocked[1], block, sizeof block, MSG_WAITALL), sizeof block);
		for (int j = 0; j < BLOCK; j++)
			EQUAL(block[j], (char)i);
	}
	EQUAL(recv(blocked[1], &sum, 1, 0), 0);
	reap(blocker, 30);
	EQUAL(send(waiting[0], "packet", 6, 0), 6);
	reap(receiving, 40);
	for (int i = 0; i < 2; i++)
		reap(sharers[i], 50);
	for (sum = 0; sum != 3;) {
		long number;

		EQUAL(recv(common[0], &number, sizeof number, MSG_DONTWAIT), sizeof number);
		sum += number;
	}
	pass();
}
