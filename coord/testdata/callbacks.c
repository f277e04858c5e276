/*
 * A root and two children, which have callbacks of crak.h. before counts in shared memory; after and restart check that all three
 * have counted by then. The root copies its input to its output. For each 'c' in the input it calls crak_checkpoint.
 */
#include <crak.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	int before, after, bad;
} *shared;

static void before(void *unused)
{
	(void)unused;
	__atomic_add_fetch(&shared->before, 1, __ATOMIC_SEQ_CST);
}

static void after(void *unused)
{
	(void)unused;
	if (__atomic_load_n(&shared->before, __ATOMIC_SEQ_CST) % 3)
		shared->bad = 1;
	__atomic_add_fetch(&shared->after, 1, __ATOMIC_SEQ_CST);
}

int main(void)
{
	static const struct crak_callbacks callbacks = { before, after, after, NULL };
	int children[2];
	char c;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || CRAK_ON(&callbacks))
		return 2;
	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	while (read(0, &c, 1) == 1) {
		if (c == 'c' && CRAK_CHECKPOINT())
			return 3;
		if (write(1, &c, 1) != 1)
			return 4;
	}
	for (int i = 0; i < 2; i++)
		kill(children[i], SIGKILL);
	return shared->bad || shared->before != 6; /* three members, two checkpoints */
}
