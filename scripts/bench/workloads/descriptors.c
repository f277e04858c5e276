/*
 * descriptors COUNT KIND: opens COUNT descriptors, and prints a line "calls NS"
 * each time that it gets SIGUSR1: the time of fstat(2) and F_GETFL for each of
 * them. KIND: files (each descriptor another file), opens (one file, opened
 * anew each time), copies (of one descriptor), eventfds, pipes, or sockets
 * (pairs of Unix sockets). Afterwards it reads the clock and prints "NOW GAP"
 * like gap.c, but sleeps a while in between.
 */
#include <errno.h>
#include <fcntl.h>
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

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Opens one descriptor, or two. Returns how many. */
static int open_more(const char *kind, int i, int first)
{
	char name[64];
	int pair[2];

	if (strcmp(kind, "files") == 0 || (strcmp(kind, "opens") == 0)) {
		snprintf(name, sizeof(name), "file-%d", strcmp(kind, "files") == 0 ? i : 0);
		if (open(name, O_CREAT | O_RDWR, 0600) < 0)
			fail(name);
		return 1;
	}
	if (strcmp(kind, "copies") == 0) {
		if (dup(first) < 0)
			fail("dup");
		return 1;
	}
	if (strcmp(kind, "eventfds") == 0) {
		if (eventfd(i, EFD_NONBLOCK) < 0)
			fail("eventfd");
		return 1;
	}
	if (strcmp(kind, "pipes") == 0) {
		if (pipe(pair) || write(pair[1], "x", 1) != 1)
			fail("pipe");
		return 2;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || write(pair[1], "x", 1) != 1)
		fail("socketpair");
	return 2;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: descriptors COUNT files|opens|copies|eventfds|pipes|sockets\n");
		return 2;
	}
	int count = atoi(argv[1]);
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	setvbuf(stdout, NULL, _IOLBF, 0);
	int first = open("/dev/null", O_RDONLY);
	for (int i = 0; i < count;)
		i += open_more(argv[2], i, first);

	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("READY\n");
	for (;;) {
		siginfo_t info;
		struct timespec while_ = { 0, 100000000 };
		if (sigtimedwait(&set, &info, &while_) == SIGUSR1) {
			long long start = now();
			for (int i = 0; i < count; i++) {
				struct stat st;
				fstat(first + i, &st);
				fcntl(first + i, F_GETFL);
			}
			printf("calls %lld\n", now() - start);
		} else {
			printf("%lld 0\n", now());
		}
	}
}
