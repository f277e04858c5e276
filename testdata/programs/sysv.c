/*
 * sysv: a System V semaphore set and a message queue. Two children have adjustments (SEM_UNDO), and each sleeps in semop; a third one
 * sleeps in msgrcv. The adjustments are applied when the children end. The last use of the set is by a child that has ended.
 */
#include "check.h"
#include "group.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>

enum { LOCK, COUNT, GATE, FULL, SEMAPHORES };

static struct message {
	long type;
	char text[5000];
} message;

static int set, queue;

static void op(int n, int by, int flags)
{
	struct sembuf b = {n, by, flags};
	CHECK(semop(set, &b, 1) == 0);
}

static int value(int n)
{
	return semctl(set, n, GETVAL);
}

static void send(long type, size_t length)
{
	message.type = type;
	memset(message.text, 'a' + type % 26, length);
	CHECK(msgsnd(queue, &message, length, IPC_NOWAIT) == 0);
}

static void receive(long wanted, long type, size_t length, int flags)
{
	memset(&message, 0, sizeof message);
	EQUAL(msgrcv(queue, &message, sizeof message.text, wanted, flags), length);
	EQUAL(message.type, type);
	for (size_t i = 0; i < length; i++)
		EQUAL(message.text[i], 'a' + type % 26);
}

/* Each child holds something until the gate opens. */
static void hold(int n)
{
	if (n == 0)
		op(LOCK, -1, SEM_UNDO);
	op(COUNT, n == 0 ? 7 : 1000, SEM_UNDO);
	op(COUNT, -3, SEM_UNDO);
	if (n == 0)
		op(FULL, -30000, SEM_UNDO);
	op(GATE, -1, 0);
	_exit(0);
}

static void sleepers(int n)
{
	for (int i = 0; semctl(set, GATE, GETNCNT) != n; i++) {
		CHECK(i < 5000);
		pause_ms(2);
	}
}

static void note(const char *name, int id)
{
	FILE *file = fopen(name, "w");

	CHECK(file && fprintf(file, "%d\n", id) > 0 && fclose(file) == 0);
}

int main(void)
{
	key_t key = 0x43520000 | (getpid() & 0xffff);
	struct semid_ds set_desc;
	struct msqid_ds queue_desc;
	pid_t children[3], last;
	int set_before, queue_before;

	set = set_before = semget(key, SEMAPHORES, IPC_CREAT | IPC_EXCL | 0640);
	queue = queue_before = msgget(key, IPC_CREAT | IPC_EXCL | 0620);
	CHECK(set >= 0 && queue >= 0);
	note("set", set);
	note("queue", queue);
	op(LOCK, 1, 0);
	op(COUNT, 50, 0);
	op(FULL, 32000, 0);
	op(LOCK, 1, SEM_UNDO); /* with the next operation, the adjustments of the parent add up to 0 */
	op(LOCK, -1, SEM_UNDO);

	CHECK(msgctl(queue, IPC_STAT, &queue_desc) == 0);
	queue_desc.msg_qbytes = 9000;
	CHECK(msgctl(queue, IPC_SET, &queue_desc) == 0);
	send(3, 12);
	send(1, 5000);
	send(2, 0);
	send(1, 1);

	for (int i = 0; i < 3; i++) {
		children[i] = fork();
		CHECK(children[i] >= 0);
		if (children[i] == 0 && i < 2)
			hold(i);
		if (children[i] == 0) {
			receive(77, 77, 300, 0);
			_exit(0);
		}
	}
	sleepers(2);
	last = fork();
	CHECK(last >= 0);
	if (last == 0) {
		op(FULL, 1, 0);
		_exit(0);
	}
	CHECK(waitpid(last, 0, 0) == last);

	ready();
	await_go();

	set = semget(key, SEMAPHORES, 0);
	queue = msgget(key, 0);
	EQUAL(set, set_before);
	EQUAL(queue, queue_before);
	CHECK(semctl(set, 0, IPC_STAT, &set_desc) == 0);
	EQUAL(set_desc.sem_nsems, SEMAPHORES);
	EQUAL(set_desc.sem_perm.mode & 0777, 0640);
	EQUAL(set_desc.sem_perm.uid, geteuid());
	EQUAL(set_desc.sem_perm.cuid, geteuid());
	CHECK(msgctl(queue, IPC_STAT, &queue_desc) == 0);
	EQUAL(queue_desc.msg_qbytes, 9000);
	EQUAL(queue_desc.msg_qnum, 4);
	EQUAL(queue_desc.msg_perm.mode & 0777, 0620);

	EQUAL(value(LOCK), 0);
	EQUAL(value(COUNT), 50 + 7 + 1000 - 6);
	EQUAL(value(FULL), 2001);
	EQUAL(value(GATE), 0);
	sleepers(2);

	/* by type, then in order */
	receive(1, 1, 5000, IPC_NOWAIT);
	receive(0, 3, 12, IPC_NOWAIT);
	receive(0, 2, 0, IPC_NOWAIT);
	receive(0, 1, 1, IPC_NOWAIT);
	CHECK(msgrcv(queue, &message, sizeof message.text, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
	send(77, 300);
	CHECK(waitpid(children[2], 0, 0) == children[2]);

	/* one by one, in any order */
	op(GATE, 1, 0);
	CHECK(waitpid(-1, 0, 0) > 0);
	op(GATE, 1, 0);
	CHECK(waitpid(-1, 0, 0) > 0);
	EQUAL(value(LOCK), 1);
	EQUAL(value(COUNT), 50);
	EQUAL(value(FULL), 32001);

	CHECK(semctl(set, 0, IPC_RMID) == 0);
	CHECK(msgctl(queue, IPC_RMID, 0) == 0);
	pass();
}
