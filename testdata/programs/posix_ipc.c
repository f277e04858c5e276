/*
 * posix_ipc: POSIX semaphores and shared memory by name, some of them unlinked, in three processes. Each child sleeps in sem_wait.
 */
#include "check.h"
#include "group.h"

#include <semaphore.h>

#define SIZE (1UL << 20)

static char *memory;
static sem_t *named, *unlinked, *inside;

static sem_t *semaphore(const char *name, unsigned value)
{
	sem_t *s = sem_open(name, O_CREAT | O_EXCL, 0600, value);

	CHECK(s != SEM_FAILED);
	return s;
}

static int sleeper(long n)
{
	sem_t *all[] = {named, unlinked, inside};

	mark("child-%ld", n);
	CHECK(sem_wait(all[n]) == 0);
	check_filled(memory, SIZE / 2, 1);
	memory[SIZE - 1 - n] = 'a' + n;
	return n;
}

int main(void)
{
	char name[3][32];
	pid_t children[3];
	int fd, value;

	for (int i = 0; i < 3; i++)
		snprintf(name[i], sizeof name[i], "/crak-test-%d-%d", getpid(), i);
	named = semaphore(name[0], 1);
	unlinked = semaphore(name[1], 1);
	CHECK(sem_unlink(name[1]) == 0);
	fd = shm_open(name[2], O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0 && ftruncate(fd, SIZE) == 0);
	memory = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	CHECK(shm_unlink(name[2]) == 0);
	CHECK(close(fd) == 0);
	fill(memory, SIZE / 2, 1);
	inside = (sem_t *)(memory + SIZE / 2);
	CHECK(sem_init(inside, 1, 0) == 0);
	CHECK(sem_wait(named) == 0 && sem_wait(unlinked) == 0);
	for (int i = 0; i < 3; i++) {
		children[i] = child(sleeper, i);
		await_mark("child-%d", i);
	}

	ready();
	await_go();

	CHECK(sem_getvalue(unlinked, &value) == 0);
	EQUAL(value, 0);
	CHECK(sem_post(named) == 0 && sem_post(unlinked) == 0 && sem_post(inside) == 0);
	for (int i = 0; i < 3; i++) {
		int status;

		CHECK(waitpid(children[i], &status, 0) == children[i]);
		EQUAL(status, i << 8);
		EQUAL(memory[SIZE - 1 - i], 'a' + i);
	}
	CHECK(sem_unlink(name[0]) == 0);
	pass();
}
