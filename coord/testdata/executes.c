/*
 * A program that executes itself again and again for some seconds, with a different exec function of libc each time. Then
 * it prints READY, waits for a line, and prints DONE.
 *
 *	executes UNTIL exec COUNT ODD EVEN     until UNTIL seconds of CLOCK_MONOTONIC; ODD and EVEN: paths of this program,
 *	                                       dynamic or static
 *	executes UNTIL spawn COUNT CHILD _     runs children with posix_spawn, vfork and system instead
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void *sleeper(void *unused)
{
	(void)unused;
	pause();
	return NULL;
}

static int fd_of(const char *path)
{
	return open(path, O_PATH | O_CLOEXEC);
}

static void execute(const char *path, char *const argv[])
{
	switch (atoi(argv[3]) % 9) {
	case 0: execve(path, argv, environ); break;
	case 1: execv(path, argv); break;
	case 2: execvp(path, argv); break;
	case 3: execvpe(path, argv, environ); break;
	case 4: execl(path, argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], NULL); break;
	case 5: execlp(path, argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], NULL); break;
	case 6: execle(path, argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], NULL, environ); break;
	case 7: fexecve(fd_of(path), argv, environ); break;
	case 8: execveat(AT_FDCWD, path, argv, environ, 0); break;
	}
	perror(path);
	exit(1);
}

static void spawn(char *self)
{
	char *argv[] = { self, "0", "none", "0", self, self, NULL };
	pid_t child;
	int status;

	if (posix_spawn(&child, self, NULL, NULL, argv, environ) || waitpid(child, &status, 0) != child || status)
		exit(2);
	child = vfork();
	if (child == 0) {
		execv(self, argv);
		_exit(1);
	}
	if (waitpid(child, &status, 0) != child || status)
		exit(3);
	if (system("exit 0"))
		exit(4);
}

int main(int argc, char **argv)
{
	long until = atol(argv[1]);
	char count[12];
	pthread_t thread;
	sigset_t none;

	(void)argc;
	/* As shells do. libc then unblocks the freeze signal, too. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (strcmp(argv[2], "spawn") == 0) {
		while (seconds() < until)
			spawn(argv[4]);
	} else if (seconds() < until || atoi(argv[3]) % 2) { /* the last program is always ODD */
		int step = atoi(argv[3]);

		if (step % 3 == 0)
			pthread_create(&thread, NULL, sleeper, NULL);
		if (step % 7 == 0)
			execl("/nowhere", "nowhere", NULL);
		usleep(step % 30 ? step % 5 * 500 : 300000); /* a checkpoint takes longer than most programs here live */
		snprintf(count, sizeof(count), "%d", step + 1);
		argv[3] = count;
		execute(step % 2 ? argv[4] : argv[5], argv);
	}
	if (until) {
		puts("READY");
		fflush(stdout);
		getchar();
		puts("DONE");
	}
	return 0;
}
