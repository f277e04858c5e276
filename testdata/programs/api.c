/* A program that uses crak.h: crak_checkpoint and callbacks; `api hold`: crak_hold and crak_release. */
#include "check.h"

#include <pthread.h>

#include "crak.h"

static int befores, afters, restarts;
static volatile int stop;

/* A little less stack than crak.h promises to a callback. */
#define DEEP (240 << 10)

static void before(void *data)
{
	volatile char deep[DEEP];

	for (int i = DEEP - 1; i >= 0; i -= 1024)
		deep[i] = 1;
	befores += deep[DEEP - 1] * *(int *)data;
}

static void after(void *data)
{
	afters += *(int *)data;
}

static void restart(void *data)
{
	restarts += *(int *)data;
}

static int one = 1;
static const struct crak_callbacks callbacks = {before, after, restart, &one};

static void *spin(void *arg)
{
	(void)arg;
	while (!stop)
		;
	return 0;
}

/* A checkpoint that is requested after crak_hold begins after crak_release. */
static void hold(void)
{
	CRAK_HOLD();
	CRAK_HOLD();
	ready();
	await_file("asked");
	EQUAL(befores, 0);
	CRAK_RELEASE();
	EQUAL(befores, 0);
	say("HELD\n");
	CRAK_RELEASE();
	await_go();
	if (befores < 1)
		fail("the checkpoint that was asked for did not come");
	pass();
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int result;

	CHECK(crak_checkpoint && crak_on && crak_hold && crak_release);
	EQUAL(crak_on(&callbacks), 0);
	CHECK(pthread_create(&thread, 0, spin, 0) == 0);
	if (argc > 1 && !strcmp(argv[1], "hold"))
		hold();
	result = crak_checkpoint();
	if (result < 0)
		fail("crak_checkpoint: %d", result);
	if (result == 0) {
		EQUAL(befores, 1);
		EQUAL(afters, 1);
		EQUAL(restarts, 0);
		say("CHECKPOINTED\n");
		await_file("never"); /* waits until it is killed */
	}
	EQUAL(result, 1);
	EQUAL(befores, 1);
	EQUAL(afters, 0);
	EQUAL(restarts, 1);
	result = crak_checkpoint();
	if (result < 0)
		fail("second crak_checkpoint: %d", result);
	EQUAL(result, 0);
	EQUAL(befores, 2);
	EQUAL(afters, 1);
	stop = 1;
	CHECK(pthread_join(thread, 0) == 0);
	pass();
}
