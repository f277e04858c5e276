/*
 * group_soak SEED: processes that fork, leave orphans, execute programs and scripts, create threads, share memory, pass
 * bytes through pipes, lock a file, signal each other, and wait for each other. Each checks what it sees. After each file
 * round-K every process must make progress, and the root prints ROUND K. With the file go all processes end.
 */
#include "group.h"

#include <pthread.h>
#include <sys/stat.h>

enum { FORKER, EXECUTER, SCRIPTER, THREADER, ADDER, OTHER_ADDER, PRODUCER, CONSUMER, LOCKER, OTHER_LOCKER, PINGER, PONGER, KEEPER, WORKERS };

struct area {
	pthread_mutex_t mutex;
	uint64_t left, right;     /* equal while no process has the mutex */
	uint64_t locked, counted; /* under the lock of the file */
	_Atomic uint64_t rounds[WORKERS];
	_Atomic pid_t pids[WORKERS];
};

static struct area *area;
static int stream[2], lock_file;
static pid_t root;
static uint64_t first; /* seed */

static uint64_t sequence(uint64_t *seed) { return *seed = scramble(*seed); }

static int over(void) { return access("go", F_OK) == 0; }

static int exits(long code) { return code; }

/* A process that ends before its child. */
static int leaves(long code)
{
	child(exits, 9);
	return code;
}

static int parents(long code)
{
	reap(child(exits, code / 2), code / 2);
	return code;
}

static void fork_once(uint64_t x)
{
	pid_t pid = child(x % 3 == 0 ? leaves : x % 3 == 1 ? parents : exits, x % 40 + 10);

	reap(pid, x % 40 + 10);
}

static void execute_once(uint64_t x, char *program)
{
	char text[32], code[8], *argv[] = {program, text, code, 0};
	pid_t pid;

	snprintf(text, sizeof text, "%llu", (unsigned long long)x);
	snprintf(code, sizeof code, "%d", (int)(x % 30 + 10));
	if (x % 2)
		pid = fork();
	else
		pid = vfork();
	CHECK(pid >= 0);
	if (pid == 0) {
		execv(program, argv);
		_exit(1);
	}
	reap(pid, x % 30 + 10);
}

static void *thread(void *arg)
{
	uint64_t *x = arg;

	for (int i = 0; i < 1000; i++)
		*x = scramble(*x);
	return x;
}

static void thread_once(uint64_t x)
{
	enum { THREADS = 4 };
	uint64_t values[THREADS], want;
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		values[i] = x + i;
		CHECK(pthread_create(&threads[i], 0, thread, &values[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++) {
		CHECK(pthread_join(threads[i], 0) == 0);
		want = x + i;
		thread(&want);
		EQUAL(values[i], want);
	}
}

static void add_once(uint64_t x)
{
	CHECK(pthread_mutex_lock(&area->mutex) == 0);
	EQUAL(area->left, area->right);
	area->left += x;
	if (x % 4 == 0)
		usleep(100);
	area->right += x;
	CHECK(pthread_mutex_unlock(&area->mutex) == 0);
}

static void lock_once(uint64_t x)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};

	CHECK(fcntl(lock_file, F_SETLKW, &lock) == 0);
	EQUAL(area->locked, 0);
	area->locked = getpid();
	area->counted++;
	if (x % 4 == 0)
		usleep(100);
	EQUAL(area->locked, getpid());
	area->locked = 0;
	lock.l_type = F_UNLCK;
	CHECK(fcntl(lock_file, F_SETLK, &lock) == 0);
}

/* The stream: numbers in sequence, each preceded by how many bytes of padding follow it. */
static void produce(void)
{
	uint64_t n = 0, seed = 1;
	unsigned char padding[256];

	CHECK(close(stream[0]) == 0);
	for (; !over(); n++, area->rounds[PRODUCER]++) {
		size_t length = sequence(&seed) % sizeof padding;

		memset(padding, n % 251, sizeof padding);
		EQUAL(write(stream[1], &n, sizeof n), sizeof n);
		for (size_t at = 0; at < length;) {
			ssize_t done = write(stream[1], padding + at, length - at);

			CHECK(done > 0);
			at += done;
		}
	}
	_exit(50 + PRODUCER);
}

static int receive(void *memory, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = read(stream[0], (char *)memory + at, size - at);

		if (n == 0 && at == 0)
			return 0;
		CHECK(n > 0);
		at += n;
	}
	return 1;
}

static void consume(void)
{
	uint64_t want = 0, seed = 1, n;
	unsigned char padding[256];

	CHECK(close(stream[1]) == 0);
	for (; receive(&n, sizeof n); want++, area->rounds[CONSUMER]++) {
		size_t length = sequence(&seed) % sizeof padding;

		EQUAL(n, want);
		if (length)
			CHECK(receive(padding, length));
		for (size_t i = 0; i < length; i++)
			EQUAL(padding[i], n % 251);
		if (n % 16 == 0)
			usleep(200);
	}
	_exit(50 + CONSUMER);
}

/* Both send each other numbers in turn. 0 ends that. */
static void exchange(int self)
{
	int partner = self == PINGER ? PONGER : PINGER, value = 0;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	while (!area->pids[partner])
		usleep(1000);
	for (int n = 1;; n++) {
		value = self == PINGER && over() ? 0 : n;
		if (self == PINGER)
			CHECK(sigqueue(area->pids[partner], SIGRTMIN + 3, (union sigval){.sival_int = value}) == 0);
		EQUAL(sigwaitinfo(&set, &info), SIGRTMIN + 3);
		EQUAL(info.si_pid, area->pids[partner]);
		if (self == PINGER)
			EQUAL(info.si_value.sival_int, value);
		else
			CHECK(info.si_value.sival_int == n || info.si_value.sival_int == 0);
		if (self == PONGER)
			CHECK(sigqueue(area->pids[partner], SIGRTMIN + 3, info.si_value) == 0);
		if (info.si_value.sival_int == 0)
			_exit(50 + self);
		area->rounds[self]++;
		usleep(300);
	}
}

/* Reaps a child long after the child has ended, and checks all that the kernel reports about it. */
static void keep_once(uint64_t x)
{
	siginfo_t info = {0};
	pid_t code = child(exits, x % 100), killed = child(exits, 0);

	usleep(x % 3000);
	kill(killed, SIGKILL);
	usleep(x % 5000);
	CHECK(waitid(P_PID, code, &info, WEXITED | WNOWAIT) == 0);
	EQUAL(info.si_status, x % 100);
	EQUAL(info.si_code, CLD_EXITED);
	reap(code, x % 100);
	CHECK(waitid(P_PID, killed, &info, WEXITED) == 0);
	EQUAL(info.si_pid, killed);
	EQUAL(info.si_status, info.si_code == CLD_KILLED ? SIGKILL : 0);
}

static int work(long number)
{
	uint64_t seed = first + number;
	size_t size = 65536;
	void *memory = malloc(size);

	area->pids[number] = getpid();
	if (number == PRODUCER)
		produce();
	if (number == CONSUMER)
		consume();
	CHECK(close(stream[0]) == 0 && close(stream[1]) == 0);
	if (number == PINGER || number == PONGER)
		exchange(number);
	CHECK(memory);
	while (!over()) {
		uint64_t x = sequence(&seed);

		fill(memory, size, x);
		EQUAL(getppid(), root);
		EQUAL(getpid(), area->pids[number]);
		switch (number) {
		case FORKER: fork_once(x); break;
		case EXECUTER: execute_once(x, "/proc/self/exe"); break;
		case SCRIPTER: execute_once(x, "./script"); break;
		case THREADER: thread_once(x); break;
		case ADDER: case OTHER_ADDER: add_once(x); break;
		case LOCKER: case OTHER_LOCKER: lock_once(x); break;
		default: keep_once(x);
		}
		check_filled(memory, size, x);
		area->rounds[number]++;
		usleep(x % 2000);
	}
	return 50 + number;
}

/* What the executed program does. Its arguments are a number that it can check, and its exit status. */
static int executed(char **argv)
{
	uint64_t x = strtoull(argv[1], 0, 10);
	int code = atoi(argv[2]);

	EQUAL(x % 30 + 10, code);
	return code;
}

static void make_script(void)
{
	FILE *f = fopen("script", "w");

	CHECK(f);
	fputs("#!/bin/sh\n[ \"$0\" = ./script ] || exit 1\nx=$(echo \"$1\" | cat)\n[ \"$x\" = \"$1\" ] || exit 2\nexit \"$2\"\n", f);
	CHECK(fclose(f) == 0 && chmod("script", 0700) == 0);
}

/* Waits for orphans that have ended. A worker must not end before its time. */
static void reap_orphans(void)
{
	siginfo_t info = {0};

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		for (int i = 0; i < WORKERS; i++)
			if (info.si_pid == area->pids[i]) {
				if (!over())
					fail("worker %d has ended: code %d, status %d", i, info.si_code, info.si_status);
				return;
			}
		reap(info.si_pid, 9);
		info.si_pid = 0;
	}
}

static void round_once(int k)
{
	uint64_t before[WORKERS];
	char line[32];

	for (int i = 0; i < WORKERS; i++)
		before[i] = area->rounds[i];
	for (int i = 0; i < WORKERS; i++)
		while (area->rounds[i] == before[i]) {
			reap_orphans();
			usleep(1000);
		}
	snprintf(line, sizeof line, "ROUND %d\n", k);
	say(line);
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attr;
	pid_t pids[WORKERS];
	sigset_t set;

	if (argc > 2)
		return executed(argv);
	root = getpid();
	first = argc > 1 ? strtoull(argv[1], 0, 10) : 1;
	area = shared(sizeof *area);
	make_script();
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	CHECK(pthread_mutexattr_init(&attr) == 0 && pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutex_init(&area->mutex, &attr) == 0);
	CHECK(pipe(stream) == 0);
	lock_file = open("lock", O_RDWR | O_CREAT, 0600);
	CHECK(lock_file >= 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
	for (int i = 0; i < WORKERS; i++)
		pids[i] = child(work, i);
	CHECK(close(stream[0]) == 0 && close(stream[1]) == 0);
	for (int i = 0; i < WORKERS; i++)
		while (!area->rounds[i] && !over()) {
			reap_orphans();
			usleep(1000);
		}
	ready();
	for (int k = 1; !over();) {
		char name[32];

		snprintf(name, sizeof name, "round-%d", k);
		if (access(name, F_OK) == 0)
			round_once(k++);
		reap_orphans();
		usleep(2000);
	}
	for (int i = 0; i < WORKERS; i++)
		reap(pids[i], 50 + i);
	while (wait(0) > 0)
		;
	EQUAL(errno, ECHILD);
	pass();
}
