/* Keeps a number in a file, which it overwrites in place. */
#include "check.h"

int main(void)
{
	int fd = open("tally.dat", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char text[8] = "60";

	CHECK(pwrite(fd, text, 2, 0) == 2);
	ready();
	await_go();
	CHECK(pread(fd, text, 2, 0) == 2);
	snprintf(text, sizeof text, "%02u", (unsigned char)(atoi(text) + 7));
	CHECK(pwrite(fd, text, 2, 0) == 2);
	pass();
}
