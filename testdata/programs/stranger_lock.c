/* A process outside the program. It takes a lock on a file, of the kind that its second argument names. */
#include "check.h"

#include <sys/file.h>

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDWR);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	CHECK(argc == 3 && fd >= 0);
	if (!strcmp(argv[2], "flock"))
		CHECK(flock(fd, LOCK_EX) == 0);
	else
		CHECK(fcntl(fd, !strcmp(argv[2], "ofd") ? F_OFD_SETLKW : F_SETLKW, &lock) == 0);
	ready();
	await_go();
	pass();
}
