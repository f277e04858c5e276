/* A Unix socket whose file was moved to another directory. */
#include "check.h"

#include <sys/socket.h>
#include <sys/un.h>

int main(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "old"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(fd >= 0 && bind(fd, (void *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
	CHECK(rename("old", "below/new") == 0);
	ready();
	await_go();
	pass();
}
