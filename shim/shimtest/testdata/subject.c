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

static void say(const char *word, int number)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %d\n", word, number);

	if (write(1, line, n) != n)
		_exit(3);
}

/* Waits for a line of input. Exits at the end of the input. */
static void await_line(void)
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

static int inside_callback = 1;

static void try_inside(void *unused)
{
	(void)unused;
	inside_callback = crak_checkpoint();
	crak_hold();
	crak_release();
}

/* A callback that asks for a checkpoint during a checkpoint. */
static void callback(void)
{
	static const struct crak_callbacks callbacks = { .before = try_inside };

	crak_on(&callbacks);
	say("RESULT", crak_checkpoint());
	say("INSIDE", inside_callback);
	inside_callback = 1;
	say("OUTSIDE", 0); /* now crak asks */
	await_line();
	say("INSIDE", inside_callback);
}

#define HOLDERS 2
static int inside[HOLDERS], violations, stop;

static void *hold_and_release(void *arg)
{
	int *mine = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		crak_hold();
		__atomic_store_n(mine, 1, __ATOMIC_SEQ_CST);
		for (volatile int i = 0; i < 100; i++)
			;
		__atomic_store_n(mine, 0, __ATOMIC_SEQ_CST);
		crak_release();
		for (volatile int i = 0; i < 1000; i++)
			;
	}
	return NULL;
}

static void look_inside(void *unused)
{
	(void)unused;
	for (int i = 0; i < HOLDERS; i++)
		violations += __atomic_load_n(&inside[i], __ATOMIC_SEQ_CST);
}

/* No thread may be between crak_hold and crak_release during a checkpoint. */
static void hold(void)
{
	static const struct crak_callbacks callbacks = { .before = look_inside };
	pthread_t threads[HOLDERS];

	crak_on(&callbacks);
	for (int i = 0; i < HOLDERS; i++)
		pthread_create(&threads[i], NULL, hold_and_release, &inside[i]);
	for (int i = 0; i < 8; i++) {
		int result = crak_checkpoint();

		if (result)
			say("RESULT", result);
	}
	stop = 1;
	for (int i = 0; i < HOLDERS; i++)
		pthread_join(threads[i], NULL);
	say("VIOLATIONS", violations);
}

/* A child that is forked while the writer of its parent runs. The child has no writer of its own. */
static void forked(void)
{
	int status = 0;
	pid_t child;

	kill(getpid(), SIGUSR2);
	child = fork();
	if (child == 0)
		_exit(-crak_checkpoint());
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

static void *release_later(void *unused)
{
	(void)unused;
	crak_hold();
	say("HELD", 0);
	await_line();
	crak_release();
	return NULL;
}

static int holding;

static void *hold_for_good(void *unused)
{
	(void)unused;
	crak_hold();
	__atomic_store_n(&holding, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
		pause();
	return NULL;
}

/* Forks a child that says its PID and goes on with a line of input. It releases what it has inherited, if there is something. */
static pid_t forked_in_hold(const char *word, int own)
{
	pid_t child;

	for (int i = 0; i < own; i++)
		crak_hold();
	child = fork();
	if (child == 0) {
		say(word, getpid());
		await_line();
		for (int i = 0; i < own; i++)
			crak_release();
		say("RELEASED", own);
		await_line();
		_exit(0);
	}
	for (int i = 0; i < own; i++)
		crak_release();
	return child;
}

/* One thread holds for good, another one forks: the children have only the holds of the thread that forked them. */
static void held_fork(void)
{
	pthread_t thread;
	int status = 0;

	pthread_create(&thread, NULL, hold_for_good, NULL);
	while (!__atomic_load_n(&holding, __ATOMIC_SEQ_CST))
		usleep(1000);
	for (int own = 0; own <= 2; own += 2) {
		waitpid(forked_in_hold("CHILD", own), &status, 0);
		say("STATUS", status);
	}
}

/* The reaper lives while a thread delays the checkpoint with crak_hold. */
static void reaper(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, release_later, NULL);
	say("RESULT", crak_checkpoint());
	pthread_join(thread, NULL);
}

static int others;

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

/* Checks the result of a wait without a child to report. */
static void no_child(long result)
{
	if (result != -1 || errno != ECHILD)
		say("ANSWER", result);
}

/* Waits for every kind of child. There is none. */
static void *wait_in_vain(void *unused)
{
	struct rusage usage;
	siginfo_t info;
	int status;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		no_child(waitpid(-1, &status, __WALL));
		no_child(waitpid(-1, &status, __WALL | WNOHANG));
		no_child(wait3(&status, __WCLONE | WUNTRACED, &usage));
		no_child(wait4(-1, &status, __WCLONE | WNOHANG, &usage));
		no_child(waitid(P_ALL, 0, &info, WEXITED | __WALL));
		no_child(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG | __WCLONE));
	}
	return unused;
}

static void checkpoints(int expected)
{
	for (int i = 0; i < 4; i++) {
		int result;

		if (i % 2)
			kill(getpid(), SIGUSR2);
		while ((result = crak_checkpoint()) == -EBUSY)
			usleep(1000);
		if (result != expected)
			say("RESULT", result);
	}
}

static void childless(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, wait_in_vain, NULL);
	checkpoints(0);
	stop = 1;
	pthread_join(thread, NULL);
	say("DONE", 0);
}

static int kind; /* of wait */

/* Waits for the one child. */
static void *wait_for_child(void *pid)
{
	int status = 0;
	siginfo_t info = { 0 };

	if (kind == 0)
		*(pid_t *)pid = waitpid(-1, &status, __WALL);
	else if (kind == 1)
		*(pid_t *)pid = wait4(0, &status, __WALL | WUNTRACED, NULL);
	else if (waitid(P_ALL, 0, &info, WEXITED | __WALL) == 0)
		*(pid_t *)pid = info.si_pid, status = W_EXITCODE(info.si_status, 0);
	no_child(waitpid(-1, &status, __WALL));
	return (void *)(long)status;
}

/* A thread waits for every kind of child while writers run. The program has one child, of either kind, because of which the
 * writers cannot make an image. */
static void waits(void)
{
	for (int round = 0; round < 6; round++) {
		int ends[2] = { -1, -1 };
		pid_t child, seen = 0;
		pthread_t thread;
		void *status;

		kind = round % 3;
		if (pipe(ends))
			say("PIPE", errno);
		child = round < 3 ? fork() : syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
		if (child == 0) {
			char c;

			close(ends[1]);
			_exit(read(ends[0], &c, 1) == 0 ? 7 : 1);
		}
		pthread_create(&thread, NULL, wait_for_child, &seen);
		checkpoints(-ECANCELED);
		close(ends[1]);
		pthread_join(thread, &status);
		close(ends[0]);
		if (seen != child || WEXITSTATUS((long)status) != 7)
			say("SEEN", seen);
	}
	say("DONE", 0);
}

static void *wait_without_end(void *unused)
{
	int status;

	waitpid(-1, &status, __WALL);
	return unused;
}

/* A wait is a cancellation point. */
static void cancelled(void)
{
	pid_t child = fork();
	pthread_t thread;
	void *result;

	if (child == 0)
		for (;;)
			pause();
	pthread_create(&thread, NULL, wait_without_end, NULL);
	checkpoints(-ECANCELED);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("CANCELLED", result == PTHREAD_CANCELED);
	kill(child, SIGKILL);
	say("CHILD", waitpid(child, NULL, __WALL) == child);
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
		{ "prctl", use_prctl },		{ "childless", childless },	{ "waits", waits },
		{ "cancelled", cancelled },	{ "held-fork", held_fork },
		{ "wait", wait_for_line }, { "effective", wait_for_line }, { "undumpable", undumpable },
		{ "dropped", undumpable },
	};

	if (argc != 2)
		return 2;
	become(argv[1]);
	say("READY", getpid());
	if (strcmp(argv[1], "broken") == 0)
		await_line();
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			modes[i].run();
	await_line();
	return 0;
}
