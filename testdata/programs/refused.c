/* Has something that a checkpoint refuses, named by its argument: most are descriptors. */
#include "check.h"

#include <asm/ldt.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static volatile int separate;

/* A thread with its own network namespace. */
static void *apart(void *unused)
{
	(void)unused;
	CHECK(unshare(CLONE_NEWNET) == 0);
	separate = 1;
	for (;;)
		pause();
}

static int perf(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static int map(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
}

static int kvm(void)
{
	int device = open("/dev/kvm", O_RDWR);

	return device < 0 ? -1 : ioctl(device, KVM_CREATE_VM, 0);
}

/* by_path opens with O_PATH what a descriptor refers to. */
static int by_path(int fd)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_PATH);
}

/* Has a lease whose end a child waits for. */
static void leased(void)
{
	int fd = open("leased", O_CREAT | O_RDWR, 0600), signal;
	sigset_t told;

	sigemptyset(&told);
	sigaddset(&told, SIGIO);
	CHECK(sigprocmask(SIG_BLOCK, &told, NULL) == 0);
	CHECK(fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fd);
		_exit(open("leased", O_WRONLY) < 0);
	}
	CHECK(sigwait(&told, &signal) == 0);
}

/* Has a connection whose packets have IP options. */
static void connected(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof a;
	int listening = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(listening >= 0 && client >= 0 && listen(listening, 1) == 0 && getsockname(listening, (void *)&a, &length) == 0);
	CHECK(setsockopt(client, SOL_IP, IP_OPTIONS, "\1\1\1", 4) == 0);
	CHECK(connect(client, (void *)&a, sizeof a) == 0 && accept(listening, NULL, NULL) >= 0);
}

/* Has sockets whose packets have extension headers of IPv6. */
static void extended(void)
{
	static const unsigned char header[8] = {0, 0, 1, 4}; /* padding */
	int stream = socket(AF_INET6, SOCK_STREAM, 0), datagram = socket(AF_INET6, SOCK_DGRAM, 0);

	CHECK(setsockopt(stream, SOL_IPV6, IPV6_HOPOPTS, header, sizeof header) == 0 || geteuid() != 0);
	CHECK(setsockopt(datagram, SOL_IPV6, IPV6_DSTOPTS, header, sizeof header) == 0 || geteuid() != 0);
}

static void make(const char *kind)
{
	struct user_desc entry = {.entry_number = 0, .limit = 0xfff, .seg_32bit = 1, .useable = 1};
	pthread_t thread;
	sigset_t none;
	int pair[2];

	sigemptyset(&none);
	if (!strcmp(kind, "fanotify"))
		CHECK(syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY) >= 0);
	else if (!strcmp(kind, "io_uring"))
		CHECK(syscall(SYS_io_uring_setup, 4, &(struct io_uring_params){0}) >= 0);
	else if (!strcmp(kind, "perf"))
		CHECK(perf() >= 0 || geteuid() != 0);
	else if (!strcmp(kind, "bpf"))
		CHECK(map() >= 0 || geteuid() != 0);
	else if (!strcmp(kind, "kvm"))
		CHECK(kvm() >= 0 || access("/dev/kvm", R_OK | W_OK) < 0);
	else if (!strcmp(kind, "uffd"))
		CHECK(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */) >= 0);
	else if (!strcmp(kind, "procfile"))
		CHECK(open("/proc/1/status", O_RDONLY) >= 0);
	else if (!strcmp(kind, "lease"))
		leased();
	else if (!strcmp(kind, "ip-options"))
		CHECK((pair[0] = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && setsockopt(pair[0], SOL_IP, IP_OPTIONS, "\1\1\1", 4) == 0);
	else if (!strcmp(kind, "ip-options-connected"))
		connected();
	else if (!strcmp(kind, "ipv6-options"))
		extended();
	else if (!strcmp(kind, "io-flusher"))
		CHECK(prctl(57 /* PR_SET_IO_FLUSHER */, 1, 0, 0, 0) == 0);
	else if (!strcmp(kind, "linked"))
		CHECK(open("a", O_CREAT | O_RDWR, 0600) >= 0 && mkdir("b", 0700) == 0 && link("a", "b/a") == 0 && unlink("a") == 0);
	else if (!strcmp(kind, "path"))
		CHECK(mkfifo("p", 0600) == 0 && open("p", O_PATH) >= 0 && unlink("p") == 0);
	else if (!strcmp(kind, "pipe-path"))
		CHECK(pipe(pair) == 0 && by_path(pair[0]) >= 0);
	else if (!strcmp(kind, "path-of-pipe"))
		CHECK(pipe(pair) == 0 && by_path(pair[0]) >= 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
	else if (!strcmp(kind, "event-path"))
		CHECK(by_path(eventfd(1, 0)) >= 0);
	else if (!strcmp(kind, "socket-path"))
		CHECK(by_path(socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	else if (!strcmp(kind, "ldt"))
		CHECK(syscall(SYS_modify_ldt, 1, &entry, sizeof entry) == 0);
	else if (!strcmp(kind, "uts"))
		CHECK(unshare(CLONE_NEWUTS) == 0);
	else if (!strcmp(kind, "ipc"))
		CHECK(unshare(CLONE_NEWIPC) == 0);
	else if (!strcmp(kind, "netthread"))
		CHECK(pthread_create(&thread, 0, apart, 0) == 0);
	else if (!strcmp(kind, "pid"))
		CHECK(unshare(CLONE_NEWPID) == 0);
	else if (!strcmp(kind, "guards"))
		CHECK(madvise(mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 4096,
			      102 /* MADV_GUARD_INSTALL */) == 0);
	else
		fail("kind %s", kind);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		make(argv[i]);
	while (argc > 1 && !strcmp(argv[1], "netthread") && !separate)
		sched_yield();
	ready();
	await_go();
	pass();
}
