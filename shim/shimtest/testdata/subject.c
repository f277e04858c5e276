/* The program of these tests: subject MODE. It prints what it finds, one item per line, and waits for a line of input. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crak.h"
#include "subject.h"

void say(const char *word, int number)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %d\n", word, number);

	if (write(1, line, n) != n)
		_exit(3);
}

void await_line(void)
{
	char c;

	do {
		if (read(0, &c, 1) != 1)
			_exit(0);
	} while (c != '\n');
}

/* The library's file is missing: the reaper ends at once. */
static void broken(void)
{
	for (int i = 0; i < 50; i++) {
		int result = crak_checkpoint();

		if (result != -ECANCELED)
			say("RESULT", result);
	}
	say("DONE", 0);
}

/* A child that is forked while the writer of its parent runs. The child has no writer of its own. */
static void forked(void)
{
	int status = 0;
	pid_t child;

	kill(getpid(), SIGUSR2);
	child = fork();
	if (child == 0) {
		int result = -ECANCELED;

		/* The checkpoint of the parent has the child, too. Until it is over, that of the child is refused: busy. */
		for (int tries = 0; result == -ECANCELED && tries < 100; tries++)
			result = crak_checkpoint();
		_exit(-result);
	}
	waitpid(child, &status, 0);
	say("CHILD", status);
}

/* A child of vfork is asked for a checkpoint. This must not affect the parent, whose memory it uses. */
static void vforked(void)
{
	int status = 0;
	pid_t child = vfork();

	if (child == 0) {
		kill(getpid(), SIGUSR2);
		_exit(0);
	}
	waitpid(child, &status, 0);
	say("CHILD", status);
	say("RESULT", crak_checkpoint());
}

static int others, stop;

static void *ask(void *unused)
{
	(void)unused;
	for (int i = 0; i < 4; i++) {
		int result = crak_checkpoint();

		if (result && result != -EBUSY)
			__atomic_store_n(&others, result, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Several threads and signals ask for checkpoints at the same time. */
static void together(void)
{
	pthread_t threads[4];
	int result;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, ask, NULL);
	for (int i = 0; i < 50; i++)
		kill(getpid(), SIGUSR2);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	say("OTHERS", others);
	while ((result = crak_checkpoint()) == -EBUSY)
		usleep(1000);
	say("RESULT", result);
}

static void *end_at_once(void *unused)
{
	return unused;
}

static void *make_threads(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, end_at_once, NULL) == 0)
			pthread_join(thread, NULL);
	}
	return NULL;
}

/* Threads start and end while the initiator stops all threads. */
static void churn(void)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, make_threads, NULL);
	for (int i = 0; i < 8; i++) {
		int result = crak_checkpoint();

		if (result)
			say("RESULT", result);
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	say("DONE", 0);
}

static struct rlimit queue;

static void close_queue(void *unused)
{
	struct rlimit none = { 0, queue.rlim_max };

	(void)unused;
	setrlimit(RLIMIT_SIGPENDING, &none);
}

/* The kernel has no room to queue the signal that reports the end of the reaper. */
static void queue_full(void)
{
	static const struct crak_callbacks callbacks = { .after = close_queue };

	getrlimit(RLIMIT_SIGPENDING, &queue);
	crak_on(&callbacks);
	for (int i = 0; i < 2; i++) {
		say("RESULT", crak_checkpoint());
		setrlimit(RLIMIT_SIGPENDING, &queue);
	}
}

/* Locks all memory, so that RSS counts everything that is mapped. */
static void locked(void)
{
	say("LOCKED", mlockall(MCL_CURRENT | MCL_FUTURE) ? errno : 0);
}

/* Calls prctl through the library. */
static void use_prctl(void)
{
	char name[16] = "";
	int wrong = 0;

	wrong |= prctl(PR_SET_NAME, "named") != 0;
	wrong |= prctl(PR_GET_NAME, name) != 0 || strcmp(name, "named") != 0;
	errno = 0;
	wrong |= prctl(-1, 0, 0, 0, 0) != -1 || errno != EINVAL;
	say("RESULT", wrong);
}

/* Changes the IDs or the dumpable flag before READY. */
static void become(const char *mode)
{
	if (strcmp(mode, "effective") == 0 && setresuid(12345, 0, 0))
		say("SETRESUID", errno);
	if (strcmp(mode, "undumpable") == 0 && prctl(PR_SET_DUMPABLE, 0))
		say("DUMPABLE", errno);
	if (strcmp(mode, "dropped") == 0 && (setresgid(12345, 12345, 12345) || setresuid(12345, 12345, 12345)))
		say("SETRESUID", errno);
}

static void wait_for_line(void)
{
	await_line();
	say("DONE", 0);
}

static void undumpable(void)
{
	wait_for_line();
	say("RESULT", crak_checkpoint());
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {
		{ "broken", broken }, { "callback", callback }, { "hold", hold },	{ "forked", forked },
		{ "vforked", vforked }, { "reaper", reaper },	{ "queue", queue_full },
		{ "together", together }, { "churn", churn },		{ "locked", locked },
		{ "prctl", use_prctl },		{ "childless", childless },	{ "forks", forks },	{ "waits", waits },
		{ "cancelled", cancelled },	{ "held-fork", held_fork },
		{ "told", told },		{ "outlived", outlived },
		{ "wait", wait_for_line }, { "effective", wait_for_line }, { "undumpable", undumpable },
		{ "dropped", undumpable },
	};

	if (argc != 2)
		return 2;
	become(argv[1]);
	say("READY", getpid());
	if (strcmp(argv[1], "broken") == 0 || strcmp(argv[1], "told") == 0)
		await_line();
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			modes[i].run();
	await_line();
	return 0;
}
