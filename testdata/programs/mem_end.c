/*
 * mem_end: mappings that are longer than what is behind them, a memfd and a deleted file, which no descriptor has open any more. Access
 * behind the end raises SIGBUS.
 */
#include "check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define SIZE (3 * PAGE)
#define MAPPED (100 * PAGE)

static sigjmp_buf before;

static void handle(int signal) { siglongjmp(before, signal); }

static int touch(char *p)
{
	int signal = sigsetjmp(before, 1);

	if (!signal)
		*p = 1;
	return signal;
}

static char *map_and_close(int fd)
{
	char *p;

	CHECK(fd >= 0 && ftruncate(fd, SIZE) == 0);
	p = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && close(fd) == 0);
	fill(p, SIZE, 5);
	return p;
}

int main(void)
{
	char *all[2];

	all[0] = map_and_close(memfd_create("end", 0));
	all[1] = map_and_close(open("end", O_RDWR | O_CREAT | O_EXCL, 0600));
	CHECK(unlink("end") == 0);
	CHECK(signal(SIGBUS, handle) != SIG_ERR);

	ready();
	await_go();

	for (int i = 0; i < 2; i++) {
		check_filled(all[i], SIZE, 5);
		EQUAL(touch(all[i] + SIZE - 1), 0);
		EQUAL(touch(all[i] + SIZE), SIGBUS);
		EQUAL(touch(all[i] + MAPPED - 1), SIGBUS);
	}
	pass();
}
