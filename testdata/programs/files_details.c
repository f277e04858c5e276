/*
 * Descriptors that are easily forgotten: O_PATH of what is not a regular file, namespaces of /proc/self/ns and of a child, files of
 * /proc about a thread, the file of a listening Unix socket, a memfd whose descriptor is closed, large sparse files without a name, a removed working directory.
 * An argument chooses one of them that CRAK refuses.
 */
#include "check.h"
#include <linux/memfd.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { PAGE = 4096 };

static volatile pid_t tid;

__attribute__((noreturn)) static void *thread(void *unused)
{
	(void)unused;
	tid = gettid();
	for (;;)
		pause();
}

static mode_t kind(int fd)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	CHECK(fcntl(fd, F_GETFL) & O_PATH);
	return st.st_mode & S_IFMT;
}

static void bind_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
	close(fd);
}

static void names(int fd, const char *want)
{
	char link[64], text[256];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	if (strcmp(text, want))
		fail("fd %d is %s, not %s", fd, text, want);
}

static void refused(const char *which)
{
	if (strcmp(which, "secret") == 0) {
		int fd = syscall(SYS_memfd_secret, O_CLOEXEC);

		if (fd < 0)
			fail("memfd_secret");
		CHECK(ftruncate(fd, PAGE) == 0);
		CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	} else if (strcmp(which, "secret-mapped") == 0) {
		int fd = syscall(SYS_memfd_secret, O_CLOEXEC);

		CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
		CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
		close(fd);
	}
	ready();
	await_go();
	pass();
}

int main(int argc, char **argv)
{
	static const off_t far = 64LL << 30;
	int link, fifo, sock, served, listening, node, own_ns, child_ns, of_thread, task, big, memfd, work;
	char path[64], own_name[64], buffer[64] = "", *mapped;
	ssize_t n;
	pid_t child;
	pthread_t other;
	struct stat of_socket, there;

	if (argc > 1)
		refused(argv[1]);
	CHECK(symlink("nowhere", "link") == 0 && (link = open("link", O_PATH | O_NOFOLLOW)) >= 0);
	CHECK(mkfifo("fifo", 0600) == 0 && (fifo = open("fifo", O_PATH)) >= 0);
	bind_socket("socket");
	CHECK((sock = open("socket", O_PATH)) >= 0);
	CHECK((listening = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	CHECK(bind(listening, (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "served"}, sizeof(struct sockaddr_un)) == 0);
	CHECK(listen(listening, 1) == 0 && (served = open("served", O_PATH)) >= 0);
	CHECK((node = open("/dev/null", O_PATH)) >= 0);
	CHECK(pthread_create(&other, NULL, thread, NULL) == 0);
	while (!tid)
		sched_yield();
	CHECK((child = fork()) >= 0);
	if (child == 0) {
		await_go();
		_exit(0);
	}
	CHECK((own_ns = open("/proc/self/ns/net", O_RDONLY)) >= 0);
	n = readlink("/proc/self/ns/net", own_name, sizeof own_name - 1);
	CHECK(n > 0);
	own_name[n] = 0;
	snprintf(path, sizeof path, "/proc/%d/ns/uts", child);
	CHECK((child_ns = open(path, O_RDONLY)) >= 0);
	snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
	CHECK((of_thread = open(path, O_RDONLY)) >= 0);
	snprintf(path, sizeof path, "/proc/thread-self");
	CHECK((task = open(path, O_PATH | O_DIRECTORY)) >= 0);
	CHECK((big = open("big", O_RDWR | O_CREAT, 0600)) >= 0 && unlink("big") == 0);
	CHECK(pwrite(big, "begin", 5, 0) == 5 && pwrite(big, "end", 3, far) == 3);
	CHECK((memfd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING)) >= 0);
	CHECK(ftruncate(memfd, 4 * PAGE) == 0 && pwrite(memfd, "sealed", 6, PAGE) == 6);
	CHECK(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0);
	CHECK((mapped = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, memfd, 0)) != MAP_FAILED);
	close(memfd);
	CHECK((work = open(".", O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK(mkdir("away", 0700) == 0 && chdir("away") == 0 && rmdir("../away") == 0);
	ready();
	while (faccessat(work, "go", F_OK, 0))
		pause_ms(5); /* as await_go, which would look in the removed directory */
	CHECK(waitpid(child, NULL, 0) == child);
	CHECK(kind(link) == S_IFLNK && kind(fifo) == S_IFIFO && kind(sock) == S_IFSOCK && kind(node) == S_IFCHR);
	CHECK(readlinkat(link, "", buffer, sizeof buffer) == 7 && memcmp(buffer, "nowhere", 7) == 0);
	CHECK(kind(served) == S_IFSOCK && fstat(served, &of_socket) == 0 && fstatat(work, "served", &there, 0) == 0);
	EQUAL(of_socket.st_ino, there.st_ino); /* a restart makes the file of the socket anew */
	names(own_ns, own_name);
	n = readlink("/proc/self/ns/net", own_name, sizeof own_name - 1);
	CHECK(n > 0);
	own_name[n] = 0;
	names(own_ns, own_name);
	n = readlink("/proc/self/ns/uts", own_name, sizeof own_name - 1);
	CHECK(n > 0);
	own_name[n] = 0;
	names(child_ns, own_name);
	CHECK(pthread_setname_np(other, "renamed") == 0 && pread(of_thread, buffer, sizeof buffer, 0) == 8 && memcmp(buffer, "renamed\n", 8) == 0);
	snprintf(path, sizeof path, "/proc/%d/task/%d", getpid(), getpid());
	names(task, path);
	CHECK(pread(big, buffer, 5, 0) == 5 && memcmp(buffer, "begin", 5) == 0);
	CHECK(pread(big, buffer, 3, far) == 3 && memcmp(buffer, "end", 3) == 0);
	CHECK(lseek(big, 0, SEEK_END) == far + 3 && lseek(big, 8192, SEEK_DATA) == far);
	CHECK(memcmp(mapped + PAGE, "sealed", 6) == 0);
	CHECK(mprotect(mapped, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	CHECK(open("new", O_CREAT | O_RDWR, 0600) == -1 && errno != EINVAL);
	pass();
}
