/*
 * A process outside the program of sysv.c.
 *   sysv_other own         makes a set and a queue that every user may use, and uses them
 *   sysv_other use FILE    changes the set whose ID is in the file
 *   sysv_other take FILE   receives all messages of the queue whose ID is in the file, and sends one
 */
#include "check.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static struct {
	long type;
	char text[5000];
} message = {.type = 9};

static int id_in(const char *path)
{
	char text[32];

	slurp(path, text, sizeof text);
	return atoi(text);
}

static void up(int set)
{
	struct sembuf op = {0, 1, 0};

	CHECK(semop(set, &op, 1) == 0);
}

int main(int argc, char **argv)
{
	int own = argc == 2, set = -1, queue = -1;

	if (own) {
		set = semget(IPC_PRIVATE, 3, 0666);
		queue = msgget(IPC_PRIVATE, 0666);
		CHECK(set >= 0 && queue >= 0);
		CHECK(msgsnd(queue, &message, 1, 0) == 0);
	} else if (!strcmp(argv[1], "use")) {
		set = id_in(argv[2]);
	} else {
		queue = id_in(argv[2]);
		while (msgrcv(queue, &message, sizeof message.text, 0, IPC_NOWAIT) >= 0)
			;
		CHECK(errno == ENOMSG);
		message.type = 9;
		CHECK(msgsnd(queue, &message, 10, IPC_NOWAIT) == 0);
	}
	if (set >= 0)
		up(set);
	ready();
	await_go();
	if (own)
		CHECK(semctl(set, 0, IPC_RMID) == 0 && msgctl(queue, IPC_RMID, 0) == 0);
	pass();
}
