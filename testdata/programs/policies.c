/*
 * Descriptors for which the user makes choices: 4 is the write end of a pipe that the script has given it, 5 a file that changes, 6 one
 * that is not needed, 7 a userfaultfd, which a checkpoint refuses.
 */
#include "check.h"
#include <linux/userfaultfd.h>
#include <sys/stat.h>

int main(void)
{
	int fd;

	CHECK(fcntl(4, F_GETFL) >= 0);
	CHECK((fd = open("changes", O_RDONLY)) >= 0 && dup2(fd, 5) == 5);
	CHECK((fd = open("other", O_RDWR | O_CREAT, 0600)) >= 0 && dup2(fd, 6) == 6);
	fd = syscall(SYS_userfaultfd, O_NONBLOCK | UFFD_USER_MODE_ONLY);
	CHECK(fd >= 0 && dup2(fd, 8) == 8);
	close(fd);
	close(7);
	ready();
	await_go();
	CHECK(dprintf(4, "to the new pipe\n") == 16);
	CHECK(lseek(5, 0, SEEK_END) == 3);
	CHECK(fcntl(6, F_GETFD) == -1 && errno == EBADF);
	CHECK(fcntl(8, F_GETFD) == -1 && errno == EBADF);
	pass();
}
