/* sysv_segments: a System V segment that was removed, at several addresses in each of two processes, and one with a key, which is locked. */
#include "check.h"
#include "group.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define SIZE (1UL << 20)
#define ODD (SIZE - 1000) /* not a multiple of the page size */

static char *removed[2], *keyed;
static int removed_id, keyed_id;

static char *attach(int id, int flags)
{
	char *p = shmat(id, 0, flags);

	CHECK(p != (char *)-1);
	return p;
}

static int other(long unused)
{
	char *third = attach(removed_id, SHM_RDONLY);
	const char *code = attach(removed_id, SHM_RDONLY | SHM_EXEC);
	int (*run)(void);

	(void)unused;
	mark("attached");
	await_mark("written");
	check_filled(third, SIZE, 2);
	check_filled(removed[0], SIZE, 2);
	check_filled(keyed, ODD, 3);
	memcpy(removed[0], "\xb8\x2a\0\0\0\xc3", 6); /* mov $42, %eax; ret */
	memcpy(&run, &code, sizeof(run));
	EQUAL(run(), 42);
	fill(removed[0], SIZE, 2);
	return 0;
}

int main(void)
{
	key_t key = 0x43530000 | (getpid() & 0xffff);
	struct shmid_ds desc;
	pid_t pid;
	int status;
	FILE *file;

	removed_id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0700); /* x: SHM_EXEC */
	keyed_id = shmget(key, ODD, IPC_CREAT | IPC_EXCL | 0640);
	CHECK(removed_id >= 0 && keyed_id >= 0);
	file = fopen("id", "w");
	CHECK(file && fprintf(file, "%d\n", keyed_id) > 0 && fclose(file) == 0);
	removed[0] = attach(removed_id, 0);
	removed[1] = attach(removed_id, 0);
	keyed = attach(keyed_id, 0);
	fill(removed[0], SIZE, 1);
	fill(keyed, ODD, 3);
	CHECK(shmctl(keyed_id, SHM_LOCK, 0) == 0);
	pid = child(other, 0);
	await_mark("attached");
	CHECK(shmctl(removed_id, IPC_RMID, 0) == 0);

	ready();
	await_go();

	CHECK(shmctl(removed_id, IPC_STAT, &desc) == 0);
	EQUAL(desc.shm_nattch, 6);
	CHECK(desc.shm_perm.mode & SHM_DEST);
	EQUAL(shmget(key, ODD, 0), keyed_id);
	CHECK(shmctl(keyed_id, IPC_STAT, &desc) == 0);
	EQUAL(desc.shm_nattch, 2);
	EQUAL(desc.shm_segsz, ODD);
	EQUAL(desc.shm_perm.mode & (0777 | SHM_LOCKED), 0640 | SHM_LOCKED);
	check_filled(removed[1], SIZE, 1);
	fill(removed[0], SIZE, 2);
	mark("written");
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status, 0);
	check_filled(removed[1], SIZE, 2);
	CHECK(shmctl(keyed_id, IPC_RMID, 0) == 0);
	CHECK(shmdt(keyed) == 0 && shmdt(removed[0]) == 0 && shmdt(removed[1]) == 0);
	CHECK(shmctl(removed_id, IPC_STAT, &desc) == -1);
	pass();
}
