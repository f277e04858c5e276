/*
 * descriptors COUNT KIND: opens COUNT descriptors, or COUNT connections. KIND:
 *	files        each descriptor another file
 *	opens        one file, opened anew each time
 *	eventfds
 *	sockets      pairs of Unix sockets, with a byte in each
 *	connections  over TCP and loopback, with a byte in flight
 * At SIGUSR1 it prints "calls NS": the time of fstat(2) and F_GETFL for each
 * descriptor. At SIGHUP it prints "anew NS": the time in which it opens as many
 * again. Otherwise it prints "NOW 0" ten times a second.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FIRST = 16 }; /* the first descriptor that is counted */

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int file(int i)
{
	char name[64];
	snprintf(name, sizeof(name), "file-%d", i);
	int fd = open(name, O_CREAT | O_RDWR, 0600);
	if (fd < 0)
		fail(name);
	return fd;
}

static int listening(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 100))
		fail("listen");
	return fd;
}

static void connection(int listener)
{
	struct sockaddr_in to;
	socklen_t length = sizeof(to);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || getsockname(listener, (struct sockaddr *)&to, &length) || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		fail("connect");
	int other = accept(listener, NULL, NULL);
	if (other < 0 || write(fd, "x", 1) != 1 || write(other, "x", 1) != 1)
		fail("accept");
	struct linger none = { 1, 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	setsockopt(other, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

static void open_all(const char *kind, int count, int listener)
{
	int pair[2];

	for (int i = 0; i < count; i++) {
		if (strcmp(kind, "connections") == 0) {
			connection(listener);
		} else if (strcmp(kind, "sockets") == 0) {
			if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || write(pair[0], "x", 1) != 1 || write(pair[1], "x", 1) != 1)
				fail("socketpair");
			i++;
		} else if (strcmp(kind, "eventfds") == 0) {
			if (eventfd(i, EFD_NONBLOCK) < 0)
				fail("eventfd");
		} else {
			file(strcmp(kind, "files") == 0 ? i : 0);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: descriptors COUNT files|opens|eventfds|sockets|connections\n");
		return 2;
	}
	int count = atoi(argv[1]);
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	setvbuf(stdout, NULL, _IOLBF, 0);
	int listener = strcmp(argv[2], "connections") == 0 ? listening() : -1;
	while (dup(0) < FIRST - 1)
		;
	open_all(argv[2], count, listener);
	int end = dup(0);

	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("READY\n");
	for (;;) {
		struct timespec tenth = { 0, 100000000 };
		int signal = sigtimedwait(&set, NULL, &tenth);
		long long start = now();
		if (signal == SIGUSR1) {
			for (int fd = FIRST; fd < end; fd++) {
				struct stat st;
				fstat(fd, &st);
				fcntl(fd, F_GETFL);
			}
			printf("calls %lld\n", now() - start);
		} else if (signal == SIGHUP) {
			open_all(argv[2], count, listener);
			printf("anew %lld\n", now() - start);
			for (int fd = dup(0); fd > end; fd--)
				close(fd);
		} else {
			printf("%lld 0\n", start);
		}
	}
}
