/*
 * State that a checkpoint cannot save, but that is gone a moment later: data on connections that a server has not accepted yet
 * (Unix sockets and TCP), and events of inotify that the program has not read.
 */
/* cc: -pthread */
#include "check.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LASTS_MS 3
#define OVER_MS 7

static volatile int ended;
static struct sockaddr_un door = {AF_UNIX, "door"};
static struct sockaddr_in port = {.sin_family = AF_INET};

static void *client(void *of)
{
	struct sockaddr *to = of;
	char answer;

	while (!ended) {
		int s = socket(to->sa_family, SOCK_STREAM, 0);
		CHECK(s >= 0);
		CHECK(connect(s, to, to->sa_family == AF_UNIX ? sizeof door : sizeof port) == 0);
		CHECK(write(s, "question", 8) == 8 && read(s, &answer, 1) == 1 && answer == '!');
		CHECK(close(s) == 0);
		pause_ms(OVER_MS);
	}
	return 0;
}

static void *server(void *of)
{
	int listening = *(int *)of;
	char question[9] = {0};

	for (;;) {
		struct timespec t = {0, LASTS_MS * 1000000};
		fd_set set;
		FD_ZERO(&set);
		FD_SET(listening, &set);
		CHECK(select(listening + 1, &set, 0, 0, 0) == 1);
		CHECK(nanosleep(&t, 0) == 0);
		int s = accept(listening, 0, 0);
		CHECK(s >= 0);
		CHECK(recv(s, question, 8, MSG_WAITALL) == 8 && !strcmp(question, "question"));
		CHECK(write(s, "!", 1) == 1 && close(s) == 0);
	}
	return 0;
}

int main(void)
{
	pthread_t threads[4];
	socklen_t size = sizeof port;
	int near = socket(AF_UNIX, SOCK_STREAM, 0), far = socket(AF_INET, SOCK_STREAM, 0), events = inotify_init();
	char buffer[4096];
	int on = 1;

	port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(near >= 0 && far >= 0 && events >= 0);
	CHECK(bind(near, (struct sockaddr *)&door, sizeof door) == 0 && listen(near, 8) == 0);
	CHECK(setsockopt(far, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
	CHECK(bind(far, (struct sockaddr *)&port, sizeof port) == 0 && listen(far, 8) == 0);
	CHECK(getsockname(far, (struct sockaddr *)&port, &size) == 0);
	CHECK(inotify_add_watch(events, ".", IN_CREATE) == 1);
	CHECK(pthread_create(&threads[0], 0, server, &near) == 0 && pthread_create(&threads[1], 0, server, &far) == 0);
	CHECK(pthread_create(&threads[2], 0, client, &door) == 0 && pthread_create(&threads[3], 0, client, &port) == 0);
	ready();
	while (access("go", F_OK)) {
		CHECK(close(open("new", O_CREAT | O_WRONLY, 0600)) == 0);
		pause_ms(LASTS_MS);
		CHECK(read(events, buffer, sizeof buffer) > 0);
		CHECK(unlink("new") == 0);
		pause_ms(OVER_MS);
	}
	ended = 1;
	CHECK(pthread_join(threads[2], 0) == 0 && pthread_join(threads[3], 0) == 0);
	pass();
}
