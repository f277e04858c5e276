/*
 * Run by root: root's process and one of another user are the two ends of TCP connections, Unix sockets and pipes, each with bytes that
 * nobody has read. The other user's process watches what they share with epoll.
 */
#include "group.h"
#include "tcp.h"

#include <grp.h>

enum { CHANNELS = 5, ROOT = 0, USER = 1 };

/* Each channel has an end of each process. A pipe has two descriptors an end: the first to read, the second to write. */
static struct channel {
	int in[2], out[2]; /* by process */
} channels[CHANNELS];

/* How many bytes each process has put in, and what has been done. */
static struct {
	size_t put[2][CHANNELS];
	_Atomic int full, done;
} *common;

static void both_ways(struct channel *c, int root, int user)
{
	*c = (struct channel){ { root, user }, { root, user } };
}

static void make(void)
{
	int listener = listening("127.0.0.1", 4), listener6 = listening("::1", 4), pair[2], back[2], client;

	client = connected(listener);
	both_ways(&channels[0], accepted(listener), client);
	client = connected(listener6);
	both_ways(&channels[1], client, accepted(listener6));
	CHECK(close(listener) == 0 && close(listener6) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	both_ways(&channels[2], pair[0], pair[1]);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	both_ways(&channels[3], pair[0], pair[1]);
	CHECK(pipe(pair) == 0 && pipe(back) == 0);
	channels[4] = (struct channel){ { pair[0], back[0] }, { back[1], pair[1] } };
}

/* A process keeps only its own ends. */
static void keep(int which)
{
	for (struct channel *c = channels; c < channels + CHANNELS; c++) {
		int other = !which;

		CHECK(close(c->in[other]) == 0);
		if (c->out[other] != c->in[other])
			CHECK(close(c->out[other]) == 0);
	}
}

static unsigned char byte_at(int which, int channel, size_t at) { return at * 7 + at / 251 + which * 3 + channel; }

/* Puts bytes in until there is no more room. */
static void fill_up(int which)
{
	for (int n = 0; n < CHANNELS; n++) {
		struct pollfd out = { channels[n].out[which], POLLOUT, 0 };
		size_t *put = &common->put[which][n];

		CHECK(fcntl(out.fd, F_SETFL, O_NONBLOCK) == 0);
		while (poll(&out, 1, 200) == 1) {
			unsigned char bytes[512];
			ssize_t done;

			for (size_t i = 0; i < sizeof bytes; i++)
				bytes[i] = byte_at(which, n, *put + i);
			done = write(out.fd, bytes, sizeof bytes);
			if (done < 0)
				EQUAL(errno, EAGAIN);
			else
				*put += done;
		}
		CHECK(*put >= 4096);
	}
}

static void read_all(int which)
{
	for (int n = 0; n < CHANNELS; n++) {
		struct pollfd in = { channels[n].in[which], POLLIN, 0 };

		for (size_t at = 0; at < common->put[!which][n];) {
			unsigned char bytes[4096];
			ssize_t got;

			EQUAL(poll(&in, 1, 10000), 1);
			got = read(in.fd, bytes, sizeof bytes);
			CHECK(got > 0);
			for (ssize_t i = 0; i < got; i++, at++)
				EQUAL(bytes[i], byte_at(!which, n, at));
		}
		EQUAL(poll(&in, 1, 0), 0);
	}
}

static int other_user(long unused)
{
	int epoll = epoll_create1(0);
	struct epoll_event events[CHANNELS];

	(void)unused;
	keep(USER);
	CHECK(setgroups(0, NULL) == 0 && setresgid(3001, 3001, 3001) == 0 && setresuid(3000, 3000, 3000) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	for (int n = 0; n < CHANNELS; n++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = n };

		CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, channels[n].in[USER], &event) == 0);
	}
	fill_up(USER);
	common->full++;
	while (common->done < 1)
		pause_ms(2); /* until root's process has passed go on */
	EQUAL(epoll_wait(epoll, events, CHANNELS, 0), CHANNELS);
	read_all(USER);
	common->done++;
	while (common->done < 3)
		pause_ms(2); /* until root's process has read everything */
	return 0;
}

int main(void)
{
	pid_t pid;

	common = shared(sizeof *common);
	make();
	pid = child(other_user, 0);
	keep(ROOT);
	fill_up(ROOT);
	while (common->full < 1)
		pause_ms(2); /* until the other process has filled its ends */
	ready();
	await_go();
	common->done++;
	read_all(ROOT);
	while (common->done < 2)
		pause_ms(2); /* until the other process has read everything */
	common->done++;
	reap(pid, 0);
	pass();
}
