/* A System V segment that is attached twice. "removed": IPC_RMID has marked it for removal at its last detach. */
#include "check.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define MIB (1UL << 20)

int main(int argc, char **argv)
{
	int removed = argc > 1 && !strcmp(argv[1], "removed");
	int id = shmget(IPC_PRIVATE, 2 * MIB, IPC_CREAT | 0600);
	char *one, *two;
	struct shmid_ds ds;
	FILE *file;

	CHECK(id >= 0);
	one = shmat(id, 0, 0);
	two = shmat(id, 0, SHM_RDONLY);
	CHECK(one != (void *)-1 && two != (void *)-1);
	fill(one, MIB, 1);
	if (removed)
		CHECK(shmctl(id, IPC_RMID, 0) == 0);
	file = fopen("id", "w");
	CHECK(file && fprintf(file, "%d\n", id) > 0 && fclose(file) == 0);

	ready();
	await_go();

	check_filled(two, MIB, 1);
	check_zero(two + MIB, MIB);
	fill(one, MIB, 2);
	check_filled(two, MIB, 2);
	CHECK(shmctl(id, IPC_STAT, &ds) == 0);
	EQUAL(ds.shm_segsz, 2 * MIB);
	EQUAL(ds.shm_nattch, 2);
	EQUAL(ds.shm_perm.mode & 0777, 0600);
	EQUAL(!!(ds.shm_perm.mode & SHM_DEST), removed);
	CHECK(shmdt(two) == 0);
	CHECK(shmctl(id, IPC_STAT, &ds) == 0);
	EQUAL(ds.shm_nattch, 1);
	if (!removed)
		CHECK(shmctl(id, IPC_RMID, 0) == 0);
	CHECK(shmdt(one) == 0);
	pass();
}
