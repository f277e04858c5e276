/*
 * System V segments of which the program has unmapped a part: the end, the beginning, the middle, and a part that a child has.
 * They are removed with their last attachment, so that none is left after a crash.
 */
#include "group.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGE 4096
#define PAGES 8
#define SIZE (PAGES * PAGE - 100)

static char *attach(int id)
{
	char *at = shmat(id, NULL, 0);

	CHECK(at != (void *)-1);
	return at;
}

static char *make(int *id, int seed)
{
	char *at;

	*id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	CHECK(*id >= 0);
	at = attach(*id);
	CHECK(shmctl(*id, IPC_RMID, NULL) == 0);
	fill(at, SIZE - SIZE % 8, seed);
	return at;
}

static long attached(int id)
{
	struct shmid_ds info;

	CHECK(shmctl(id, IPC_STAT, &info) == 0);
	return info.shm_nattch;
}

static void check_whole(int id, int seed)
{
	char *at = attach(id);

	check_filled(at, SIZE - SIZE % 8, seed);
	CHECK(shmdt(at) == 0);
}

static char *both;

static int other(long id)
{
	CHECK(munmap(both, 2 * PAGE) == 0);
	mark("other");
	await_mark("read");
	check_whole(id, 5);
	return 0;
}

int main(void)
{
	int end, beginning, middle, common;
	char *ends = make(&end, 1), *begins = make(&beginning, 2), *holed = make(&middle, 3);
	long counts[4];
	pid_t pid;

	both = make(&common, 5);
	pid = child(other, common);
	await_mark("other");
	CHECK(munmap(ends + 3 * PAGE, 5 * PAGE) == 0);
	CHECK(munmap(begins, 7 * PAGE) == 0);
	CHECK(munmap(holed + PAGE, PAGE) == 0 && munmap(holed + 4 * PAGE, PAGE) == 0);
	CHECK(munmap(both, PAGE) == 0);
	counts[0] = attached(end), counts[1] = attached(beginning), counts[2] = attached(middle), counts[3] = attached(common);
	ready();
	await_go();
	EQUAL(attached(end), counts[0]);
	EQUAL(attached(beginning), counts[1]);
	EQUAL(attached(middle), counts[2]);
	EQUAL(attached(common), counts[3]);
	check_filled(ends, 3 * PAGE, 1);
	check_filled(holed, PAGE, 3);
	check_whole(end, 1);
	check_whole(beginning, 2);
	check_whole(middle, 3);
	check_whole(common, 5);
	mark("read");
	reap(pid, 0);
	pass();
}
