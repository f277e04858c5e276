/* A checkpoint leaves nothing behind that the program could see: no child, zombie, descriptor, thread, signal or errno. */
#include "check.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

static volatile sig_atomic_t children;

static void on_child(int sig)
{
	(void)sig;
	children++;
}

static int count(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	CHECK(closedir(d) == 0);
	return n;
}

static void no_children(void)
{
	char path[64], text[256];

	EQUAL(waitpid(-1, 0, WNOHANG), -1);
	EQUAL(errno, ECHILD);
	EQUAL(children, 0);
	snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
	if (access(path, F_OK))
		return; /* a kernel without CONFIG_PROC_CHILDREN */
	/* The writer may not have exited yet. */
	for (int i = 0; slurp(path, text, sizeof text); i++) {
		if (i == 5000)
			fail("children: %s", text);
		pause_ms(1);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_child};
	int fds, tasks, rounds = argc > 1 ? atoi(argv[1]) : 1;
	char *end = sbrk(0);
	char name[24];

	CHECK(sigaction(SIGCHLD, &action, 0) == 0);
	fds = count("/proc/self/fd");
	tasks = count("/proc/self/task");
	EQUAL(tasks, 3);
	end = sbrk(0);
	ready();
	for (int i = 0; i < rounds; i++) {
		/* No handler changes the program's errno. */
		snprintf(name, sizeof name, i == rounds - 1 ? "go" : "go%d", i);
		errno = 1234;
		while (syscall(SYS_access, name, F_OK) == -1 && errno == ENOENT) {
			errno = 1234;
			for (int n = 0; n < 20000; n++)
				EQUAL(*(volatile int *)__errno_location(), 1234);
		}
		no_children();
		EQUAL(count("/proc/self/fd"), fds);
		EQUAL(count("/proc/self/task"), tasks);
		CHECK(sbrk(0) == end);
		snprintf(name, sizeof name, "ROUND %d\n", i);
		say(name);
	}
	pass();
}
