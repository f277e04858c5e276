/*
 * maps FILE: a child writes to a small file through a shared mapping until it is killed. The parent copies its input to its output, and
 * the kernel reaps the child.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
	volatile long *count;
	char c;

	if (fd < 0 || ftruncate(fd, 4096))
		return 2;
	count = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		return 2;
	signal(SIGCHLD, SIG_IGN);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;; usleep(1000)) /* the pace of the counter: there is nothing to wait for */
			++*count;
	}
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
