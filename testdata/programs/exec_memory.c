/*
 * Programs that are executed from memory or from a deleted file: a memfd, a sealed memfd, a file that was deleted. After a restart nobody
 * may open them for writing (ETXTBSY), and they must be executable again. So nothing may have them open for writing.
 */
#include "group.h"

#include <sys/mman.h>
#include <sys/stat.h>

extern char **environ;

enum { MEMFD, SEALED, DELETED, KINDS };

static int copied(int kind)
{
	static char bytes[1 << 20];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;
	ssize_t n;
	char path[50];
	int again;

	CHECK(from >= 0);
	if (kind == DELETED)
		to = open("copy", O_RDWR | O_CREAT | O_CLOEXEC, 0700);
	else
		to = memfd_create("program", MFD_CLOEXEC | (kind == SEALED ? MFD_ALLOW_SEALING : 0));
	CHECK(to >= 0);
	while ((n = read(from, bytes, sizeof bytes)) > 0)
		EQUAL(write(to, bytes, n), n);
	EQUAL(n, 0);
	CHECK(fchmod(to, 0750) == 0);
	if (kind == SEALED)
		CHECK(fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", to);
	again = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(again >= 0);
	CHECK(close(to) == 0 && close(from) == 0);
	if (kind == DELETED)
		CHECK(unlink("copy") == 0);
	return again;
}

static void executes(int fd, const char *how, int kind)
{
	char text[2] = {'0' + kind};

	execveat(fd, "", (char *[]){"exec_memory", (char *)how, text, 0}, environ, AT_EMPTY_PATH);
	fail("execveat");
}

/* The program that was executed. */
static int executed(int kind)
{
	char path[100] = {0}, now[100] = {0};
	struct stat st;
	pid_t pid;
	int fd;

	CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
	mark("runs-%d", kind);
	await_go();
	CHECK(readlink("/proc/self/exe", now, sizeof now - 1) > 0);
	if (strcmp(path, now))
		fail("/proc/self/exe is %s, was %s", now, path);
	CHECK(stat("/proc/self/exe", &st) == 0);
	EQUAL(st.st_nlink, 0);
	EQUAL(st.st_mode, S_IFREG | 0750);
	CHECK(open("/proc/self/exe", O_WRONLY) == -1);
	EQUAL(errno, ETXTBSY);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	if (kind == SEALED)
		EQUAL(fcntl(fd, F_GET_SEALS) & 0xf, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	pid = fork();
	if (pid == 0)
		executes(fd, "again", kind);
	reap(pid, 40 + kind);
	return 20 + kind;
}

int main(int argc, char **argv)
{
	int idle[KINDS], never;
	pid_t pids[KINDS], pid;

	if (argc == 3 && !strcmp(argv[1], "run"))
		return executed(atoi(argv[2]));
	if (argc == 3)
		return 40 + atoi(argv[2]);
	for (int kind = 0; kind < KINDS; kind++) {
		pids[kind] = fork();
		if (pids[kind] == 0)
			executes(copied(kind), "run", kind);
		await_mark("runs-%d", kind);
		idle[kind] = copied(kind); /* nobody executes it yet */
	}
	never = memfd_create("never executable", MFD_CLOEXEC | 8 /* MFD_NOEXEC_SEAL */);
	CHECK(never >= 0 || errno == EINVAL); /* before Linux 6.3 */
	ready();
	await_go();
	if (never >= 0) {
		EQUAL(fcntl(never, F_GET_SEALS), 0x20 /* F_SEAL_EXEC */);
		CHECK(fchmod(never, 0777) == -1 && errno == EPERM);
		EQUAL(write(never, "x", 1), 1);
	}
	for (int kind = 0; kind < KINDS; kind++) {
		pid = fork();
		if (pid == 0)
			executes(idle[kind], "again", kind);
		reap(pid, 40 + kind);
		reap(pids[kind], 20 + kind);
	}
	pass();
}
