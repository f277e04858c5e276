/*
 * Credentials in the queues of Unix sockets (SCM_CREDENTIALS): of this process, of a child that lives, of one that has ended, and, as
 * root, of another user. In datagrams, packets, and a stream of several senders, with and without descriptors. Some messages have
 * credentials although the receiver sets SO_PASSCRED only later, and some have none although it is set when they are received.
 * A pair of sockets of another user is in a queue only (SO_PEERCRED).
 */
#include "group.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { OTHER = 4321 };

static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
static int asked[3][2], late[3][2], mixed[2], passed[2], named, from_name, kept_file;
static pid_t living, ended;
static int order[2];

static void set(int fd, int option, int value) { CHECK(setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) == 0); }

/* put sends a message, with credentials if explicit, and with a descriptor if file >= 0. */
static void put(int fd, const char *text, int explicit, int file)
{
	char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control};
	struct cmsghdr *c = (void *)control;

	if (explicit) {
		struct ucred own = {getpid(), getuid(), getgid()};

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof own);
		memcpy(CMSG_DATA(c), &own, sizeof own);
		message.msg_controllen += CMSG_SPACE(sizeof own);
		c = (void *)(control + message.msg_controllen);
	}
	if (file >= 0) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof file);
		memcpy(CMSG_DATA(c), &file, sizeof file);
		message.msg_controllen += CMSG_SPACE(sizeof file);
	}
	EQUAL(sendmsg(fd, &message, 0), strlen(text));
}

/* get receives a message. It must have these credentials, or none if pid is -1. It returns the descriptor, or -1. */
static int get(int fd, const char *text, pid_t pid, uid_t uid, gid_t gid)
{
	char control[200], bytes[100];
	struct iovec data = {bytes, sizeof bytes};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int found = 0, file = -1;
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);

	EQUAL(n, strlen(text));
	CHECK(memcmp(bytes, text, n) == 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred got;

			memcpy(&got, CMSG_DATA(c), sizeof got);
			EQUAL(got.pid, pid);
			EQUAL(got.uid, uid);
			EQUAL(got.gid, gid);
			found = 1;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			memcpy(&file, CMSG_DATA(c), sizeof file);
		}
	}
	EQUAL(found, pid != -1);
	return file;
}

static void from_child(const char *text)
{
	for (int i = 0; i < 3; i++) {
		put(asked[i][0], text, 0, -1);
		put(late[i][0], text, 1, -1);
	}
	put(from_name, text, 0, -1);
}

static int lives(long unused)
{
	(void)unused;
	from_child("living");
	EQUAL(write(order[1], "x", 1), 1);
	await_go();
	from_child("again");
	return 0;
}

static int ends(long other)
{
	if (other)
		CHECK(setresgid(OTHER + 1, OTHER + 1, OTHER + 1) == 0 && setresuid(OTHER, OTHER, OTHER) == 0);
	from_child("ended");
	return 0;
}

/* A pair of another user, of which only the queue of a socket has an end. */
static int passes(long unused)
{
	int pair[2];

	(void)unused;
	CHECK(setresgid(OTHER + 1, OTHER + 1, OTHER + 1) == 0 && setresuid(OTHER, OTHER, OTHER) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	put(passed[0], "pair", 0, pair[0]);
	return 0;
}

static void made_by_other(int fd)
{
	struct ucred got;
	socklen_t length = sizeof got;

	CHECK(fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &got, &length) == 0);
	EQUAL(got.uid, OTHER);
	EQUAL(got.gid, OTHER + 1);
}

static void bind_to(int fd, const char *text)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t n = offsetof(struct sockaddr_un, sun_path) + 1 + sprintf(a.sun_path + 1, "crak-%s-%d", text, getpid());

	CHECK(bind(fd, (void *)&a, n) == 0);
}

int main(void)
{
	struct sockaddr_un a;
	socklen_t length = sizeof a;
	pid_t me = getpid(), other = 0;
	uid_t u = getuid();
	gid_t g = getgid();
	char byte;
	int file;

	CHECK(pipe(order) == 0);
	kept_file = open("kept", O_RDWR | O_CREAT, 0600);
	named = socket(AF_UNIX, SOCK_DGRAM, 0);
	from_name = socket(AF_UNIX, SOCK_DGRAM, 0);
	bind_to(named, "named");
	bind_to(from_name, "sender");
	CHECK(getsockname(named, (void *)&a, &length) == 0);
	CHECK(connect(from_name, (void *)&a, length) == 0);
	set(named, SO_PASSCRED, 1);
	for (int i = 0; i < 3; i++) {
		CHECK(socketpair(AF_UNIX, types[i], 0, asked[i]) == 0);
		CHECK(socketpair(AF_UNIX, types[i], 0, late[i]) == 0);
		put(asked[i][0], "before", 0, -1);
		set(asked[i][1], SO_PASSCRED, 1);
		put(asked[i][0], "own", 0, -1);
		put(late[i][0], "none", 0, -1);
	}
	ended = child(ends, 0);
	reap(ended, 0);
	living = child(lives, 0);
	EQUAL(read(order[0], &byte, 1), 1);
	if (u == 0) {
		other = child(ends, 1);
		reap(other, 0);
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, passed) == 0);
		reap(child(passes, 0), 0);
	}
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, mixed) == 0);
	put(mixed[0], "no", 0, -1);
	put(mixed[0], "ne", 0, kept_file);
	put(mixed[0], "expl", 1, -1);
	put(mixed[0], "icit", 1, kept_file);
	put(mixed[0], "none", 0, -1);
	for (int i = 0; i < 3; i++) {
		put(asked[i][0], "own", 0, -1);
		put(late[i][0], "own", 1, -1);
	}
	ready();
	await_go();
	reap(living, 0);
	for (int i = 0; i < 3; i++) {
		get(asked[i][1], "before", 0, 65534, 65534);
		get(asked[i][1], "own", me, u, g);
		get(asked[i][1], "ended", ended, u, g);
		get(asked[i][1], "living", living, u, g);
		if (other)
			get(asked[i][1], "ended", other, OTHER, OTHER + 1);
		get(asked[i][1], "own", me, u, g);
		get(asked[i][1], "again", living, u, g);
		set(late[i][1], SO_PASSCRED, 1);
		get(late[i][1], "none", 0, 65534, 65534);
		get(late[i][1], "ended", ended, u, g);
		get(late[i][1], "living", living, u, g);
		if (other)
			get(late[i][1], "ended", other, OTHER, OTHER + 1);
		get(late[i][1], "own", me, u, g);
		get(late[i][1], "again", living, u, g);
	}
	if (other)
		made_by_other(get(passed[1], "pair", -1, 0, 0));
	get(named, "ended", ended, u, g);
	get(named, "living", living, u, g);
	if (other)
		get(named, "ended", other, OTHER, OTHER + 1);
	get(named, "again", living, u, g);
	set(mixed[1], SO_PASSCRED, 1);
	file = get(mixed[1], "none", 0, 65534, 65534);
	CHECK(file >= 0 && lseek(file, 5, SEEK_SET) == 5);
	file = get(mixed[1], "explicit", me, u, g);
	CHECK(file >= 0 && lseek(file, 0, SEEK_CUR) == 5);
	EQUAL(get(mixed[1], "none", 0, 65534, 65534), -1);
	pass();
}
