/*
 * sockets_ended server PATH: listens there, sends three bytes on each connection, and keeps its end open.
 * sockets_ended client PATH: connects, and ends the connection both ways before it reads the bytes.
 */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

static void *serve(void *listening)
{
	for (;;) {
		int fd = accept(*(int *)listening, 0, 0);

		CHECK(fd >= 0);
		CHECK(write(fd, "abc", 3) == 3 || errno == EPIPE); /* a restart tries whether somebody listens here */
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct pollfd p = {fd, POLLIN, 0};
	pthread_t thread;
	char bytes[4];

	CHECK(argc == 3 && fd >= 0 && strlen(argv[2]) < sizeof a.sun_path);
	strcpy(a.sun_path, argv[2]);
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[1], "server") == 0) {
		CHECK(bind(fd, (void *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
		CHECK(pthread_create(&thread, 0, serve, &fd) == 0);
		ready();
		await_go();
		pass();
	}
	CHECK(connect(fd, (void *)&a, sizeof a) == 0);
	EQUAL(poll(&p, 1, 20000), 1);
	CHECK(shutdown(fd, SHUT_RDWR) == 0);
	ready();
	await_go();
	EQUAL(poll(&p, 1, 0), 1);
	EQUAL(p.revents, POLLIN | POLLHUP);
	EQUAL(read(fd, bytes, sizeof bytes), 3);
	EQUAL(read(fd, bytes, sizeof bytes), 0);
	EQUAL(write(fd, "x", 1), -1);
	EQUAL(errno, EPIPE);

	pass();
}
