/*
 * All that a program finds by path, in one directory that is moved while the program is not running: the working directory, open
 * files and directories, mapped files, a FIFO, a named Unix socket.
 */
#include "check.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SIZE 8192

static void check_place(const char *link, const char *name)
{
	char path[4096] = {0}, want[300];
	ssize_t n = readlink(link, path, sizeof path - 1);

	CHECK(n > 0);
	snprintf(want, sizeof want, "/%s%s%s", getenv("PLACE") ? getenv("PLACE") : "new", *name ? "/" : "", name);
	if (n < (ssize_t)strlen(want) || strcmp(path + n - strlen(want), want))
		fail("%s leads to %s, want .../%s", link, path, want);
}

static void check_descriptor(int fd, const char *name)
{
	char link[40];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	check_place(link, name);
}

int main(void)
{
	struct sockaddr_un name = {AF_UNIX, ""};
	char text[16] = {0};
	int file, log, directory, path, fifo, listening, client;
	char *shared, *private;

	CHECK(mkdir("old", 0755) == 0 && mkdir("old/inner", 0755) == 0 && chdir("old") == 0);
	CHECK((file = open("file", O_RDWR | O_CREAT, 0644)) >= 0 && ftruncate(file, SIZE) == 0);
	CHECK(pwrite(file, "first", 5, 0) == 5 && pwrite(file, "second", 6, 4096) == 6 && lseek(file, 4096, SEEK_SET) == 4096);
	CHECK((shared = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) != MAP_FAILED);
	CHECK((private = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0)) != MAP_FAILED);
	strcpy(private + 100, "mine");
	CHECK((log = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644)) >= 0 && write(log, "before ", 7) == 7);
	CHECK((directory = open("inner", O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK((path = open("inner", O_PATH)) >= 0);
	CHECK(mkfifo("fifo", 0600) == 0 && (fifo = open("fifo", O_RDWR)) >= 0 && write(fifo, "piped", 5) == 5);
	CHECK((listening = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	CHECK(getcwd(name.sun_path, sizeof name.sun_path - 10));
	strcat(name.sun_path, "/door");
	CHECK(bind(listening, (struct sockaddr *)&name, sizeof name) == 0 && listen(listening, 3) == 0);

	ready();
	await_file("../go");

	check_place("/proc/self/cwd", "");
	check_descriptor(file, "file");
	check_descriptor(log, "log");
	check_descriptor(directory, "inner");
	check_descriptor(path, "inner");
	check_descriptor(fifo, "fifo");
	EQUAL(lseek(file, 0, SEEK_CUR), 4096);
	CHECK(read(file, text, 6) == 6 && !strcmp(text, "second"));
	CHECK(!strcmp(shared, "first") && !strcmp(private, "first") && !strcmp(private + 100, "mine"));
	strcpy(shared, "third");
	CHECK(pread(file, text, 6, 0) == 6 && !strcmp(text, "third"));
	CHECK(write(log, "after", 5) == 5);
	CHECK(faccessat(directory, "../file", R_OK, 0) == 0);
	memset(text, 0, sizeof text);
	CHECK(read(fifo, text, 16) == 5 && !strcmp(text, "piped"));
	name.sun_path[0] = 0;
	strcpy(name.sun_path, "door");
	CHECK((client = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	CHECK(connect(client, (struct sockaddr *)&name, sizeof name) == 0 && accept(listening, 0, 0) >= 0);
	pass();
}
