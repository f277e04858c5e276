/* An inotify instance with events that are not read. */
#include "check.h"

#include <sys/inotify.h>

int main(void)
{
	int in = inotify_init1(0);
	char buffer[256];

	CHECK(inotify_add_watch(in, ".", IN_CREATE) == 1);
	CHECK(close(open("new", O_WRONLY | O_CREAT, 0600)) == 0);
	ready();
	await_file("read");
	CHECK(read(in, buffer, sizeof buffer) >= 32);
	CHECK(!strcmp(buffer + 16, "new"));
	ready();
	await_go();
	pass();
}
