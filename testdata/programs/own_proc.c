/* Open files in /proc about the process itself: status, partly read; maps; directories. */
#include "check.h"

#include <dirent.h>

static pid_t pid_in(const char *status)
{
	const char *at = strstr(status, "\nPid:");

	CHECK(at);
	return atoi(at + 5);
}

int main(void)
{
	int status = open("/proc/self/status", O_RDONLY), two = dup(status), maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int task = open("/proc/thread-self/stat", O_RDONLY), n;
	DIR *fds = opendir("/proc/self/fd");
	char text[8192] = {0}, own[300], go[4200];

	CHECK(status >= 0 && two >= 0 && maps >= 0 && task >= 0 && fds);
	CHECK(read(status, text, 100) == 100);
	CHECK(readdir(fds) && readdir(fds) && readdir(fds));
	CHECK(getcwd(go, 4096));
	strcat(go, "/go");
	CHECK(chdir("/proc/self/task") == 0);
	ready();
	await_file(go);
	CHECK(access("../status", R_OK) == 0);
	n = read(two, text + 100, sizeof text - 101);
	CHECK(n > 100);
	EQUAL(pid_in(text), getpid());
	EQUAL(lseek(status, 0, SEEK_CUR), 100 + n);
	EQUAL(fcntl(maps, F_GETFD), FD_CLOEXEC);
	CHECK((n = read(maps, text, sizeof text - 1)) > 0);
	text[n] = 0;
	CHECK(strstr(text, "own_proc"));
	CHECK((n = read(task, text, sizeof text - 1)) > 0);
	text[n] = 0;
	EQUAL(atoi(text), getpid());
	snprintf(own, sizeof own, "/proc/self/fd/%d", dirfd(fds));
	CHECK((n = readlink(own, text, sizeof text - 1)) > 0);
	text[n] = 0;
	snprintf(own, sizeof own, "/proc/%d/fd", getpid());
	CHECK(strcmp(text, own) == 0);
	for (n = 0; readdir(fds);)
		n++;
	CHECK(n >= 5);
	pass();
}
