/*
 * exec each: executes a program without the library, with each function in each way. The program prints its SigIgn line.
 * exec often: a forked child executes programs by vfork, many times. Prints DONE.
 * exec fails: one thread tries to execute a missing file in a loop while another thread changes its IDs. Prints DONE.
 */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FUNCTIONS 9

static char grep[] = "/bin/grep", pattern[] = "SigIgn", status[] = "/proc/self/status";
static char *argv[] = { grep, pattern, status, NULL };
static char *const none[] = { NULL };
extern char **environ;

static void execute(int function)
{
	switch (function) {
	case 0: execve(grep, argv, none); break;
	case 1: execv(grep, argv); break;
	case 2: execvp("grep", argv); break;
	case 3: execvpe("grep", argv, none); break;
	case 4: execl(grep, grep, pattern, status, NULL); break;
	case 5: execlp("grep", grep, pattern, status, NULL); break;
	case 6: execle(grep, grep, pattern, status, NULL, none); break;
	case 7: fexecve(open(grep, O_PATH), argv, none); break;
	case 8: execveat(AT_FDCWD, grep, argv, none, 0); break;
	}
	_exit(1);
}

static void *in_thread(void *function)
{
	execute((int)(long)function);
	return NULL;
}

static void as_child(void (*way)(int), int function)
{
	int result;
	pid_t child = fork();

	if (child == 0)
		way(function);
	if (waitpid(child, &result, 0) != child || result)
		printf("CHILD %d: %d\n", function, result);
}

static void threaded(int function)
{
	pthread_t thread;

	pthread_create(&thread, NULL, in_thread, (void *)(long)function);
	pthread_join(thread, NULL);
}

static void second_try(int function)
{
	execl("/nowhere", "/nowhere", NULL);
	execlp("nowhere", "/nowhere", NULL);
	execute(function);
}

static void by_vfork(int function)
{
	int result;
	pid_t child = vfork();

	if (child == 0)
		execute(function);
	waitpid(child, &result, 0);
	_exit(result != 0);
}

static void each(void)
{
	unsetenv("LD_PRELOAD");
	for (int function = 0; function < FUNCTIONS; function++) {
		as_child(execute, function);
		as_child(threaded, function);
		as_child(second_try, function);
		as_child(by_vfork, function);
	}
}

static void often(int unused)
{
	(void)unused;
	for (volatile int i = 0; i < 100; i++) {
		pid_t child = vfork();

		if (child == 0) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		waitpid(child, NULL, 0);
	}
	puts("DONE");
	exit(0);
}

static volatile int stop;

static void *fail(void *unused)
{
	while (!stop)
		execv("/nowhere", argv);
	return unused;
}

static void fails(void)
{
	pthread_t threads[2];
	time_t until = time(NULL) + 3;

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, fail, NULL);
	while (time(NULL) < until)
		if (setuid(getuid()) || setresgid(-1, -1, -1))
			puts("SETUID");
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	puts("DONE");
	fflush(stdout);
	argv[1] = "SigCgt";
	unsetenv("LD_PRELOAD");
	(void)!system("grep SigCgt /proc/$PPID/status");
}

int main(int argc, char **arguments)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(arguments[1], "each") == 0)
		each();
	else if (argc == 2 && strcmp(arguments[1], "often") == 0)
		as_child(often, 0);
	else
		fails();
	return 0;
}
