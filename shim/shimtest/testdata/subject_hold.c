/* Modes that use callbacks, crak_hold and crak_release. */

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crak.h"
#include "subject.h"

static int inside_callback = 1;

static void try_inside(void *unused)
{
	(void)unused;
	inside_callback = crak_checkpoint();
	crak_hold();
	crak_release();
}

/* A callback that asks for a checkpoint during a checkpoint. */
void callback(void)
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
void hold(void)
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

static int holding;

static void *release_later(void *unused)
{
	(void)unused;
	crak_hold();
	__atomic_store_n(&holding, 1, __ATOMIC_SEQ_CST);
	say("HELD", 0);
	await_line();
	crak_release();
	return NULL;
}

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
void held_fork(void)
{
	pthread_t thread;
	int status = 0;

	pthread_create(&thread, NULL, hold_for_good, NULL);
	while (!__atomic_load_n(&holding, __ATOMIC_SEQ_CST))
		usleep(1000); /* until the other thread has called crak_hold */
	for (int own = 0; own <= 2; own += 2) {
		waitpid(forked_in_hold("CHILD", own), &status, 0);
		say("STATUS", status);
	}
}

/* The reaper lives while a thread delays the checkpoint with crak_hold. */
void reaper(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, release_later, NULL);
	while (!__atomic_load_n(&holding, __ATOMIC_SEQ_CST))
		usleep(1000); /* until the other thread has called crak_hold */
	say("RESULT", crak_checkpoint());
	pthread_join(thread, NULL);
}
