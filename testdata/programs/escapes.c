/*
 * A program whose names contain control characters for terminals and logs: of its executable, process, thread, directory, open and
 * mapped files, memory, images and log. With the argument "refused" it has a descriptor that cannot be checkpointed.
 */
#include "check.h"

#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* A line end, sequences that set a terminal's colour and title, DEL, a C1 control character and a right-to-left override. */
#define NAME "x\nforged\x1b[31m\x1b]0;t\x07\r\x7f\xc2\x9b" "1m\xe2\x80\xae"

static void copy(const char *from, const char *to)
{
	char block[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY, 0700);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, block, sizeof block)) > 0)
		CHECK(write(out, block, n) == n);
	CHECK(close(in) == 0 && close(out) == 0);
}

static void *idle(void *arg)
{
	CHECK(prctl(PR_SET_NAME, "t\nforged\x1b[31m") == 0);
	pthread_barrier_wait(arg);
	for (;;)
		pause();
}

/* Executes itself under such a name, with such settings. */
static void begin(char **argv)
{
	char work[500], path[600];

	CHECK(getcwd(work, sizeof work));
	CHECK(mkdir(NAME, 0700) == 0);
	copy("/proc/self/exe", NAME "/exe" NAME);
	snprintf(path, sizeof path, "%s/images" NAME, work);
	CHECK(mkdir(path, 0700) == 0 && setenv("CRAK_DIR", path, 1) == 0);
	snprintf(path, sizeof path, "%s/log" NAME, work);
	CHECK(setenv("CRAK_LOG", path, 1) == 0 && setenv("CRAK_GROUP", NAME, 1) == 0 && setenv("ESCAPES", "1", 1) == 0);
	CHECK(chdir(NAME) == 0);
	execv("exe" NAME, argv);
	fail("execv");
}

int main(int argc, char **argv)
{
	static pthread_barrier_t barrier;
	pthread_t thread;
	int fd, memory;

	if (!getenv("ESCAPES"))
		begin(argv);
	fd = open("file" NAME, O_CREAT | O_RDWR, 0600);
	memory = memfd_create("memory" NAME, 0);
	CHECK(fd >= 0 && memory >= 0 && ftruncate(fd, 4096) == 0 && ftruncate(memory, 4096) == 0);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, memory, 0) != MAP_FAILED);
	if (argc > 1) {
		mqd_t queue = mq_open("/gone" NAME, O_RDWR | O_CREAT, 0600, NULL);

		/* a notification by a thread, without the socket that the C library has for it */
		int socket_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
		char cookie[32] = "";
		struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_signo = socket_fd, .sigev_value.sival_ptr = cookie};

		CHECK(queue >= 0 && socket_fd >= 0 && syscall(SYS_mq_notify, queue, &event) == 0);
		CHECK(close(socket_fd) == 0 && mq_unlink("/gone" NAME) == 0);
		CHECK(symlink("/" NAME, "link" NAME) == 0 && open("link" NAME, O_PATH | O_NOFOLLOW) >= 0);
	}
	CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0 && pthread_create(&thread, NULL, idle, &barrier) == 0);
	pthread_barrier_wait(&barrier);
	ready();
	for (;;)
		pause();
}
