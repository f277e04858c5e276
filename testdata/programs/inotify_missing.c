/* Watches a directory. */
#include "check.h"

#include <sys/inotify.h>
#include <sys/stat.h>

int main(void)
{
	int in = inotify_init1(0);
	char buffer[256];

	CHECK(mkdir("d", 0777) == 0);
	CHECK(inotify_add_watch(in, "d", IN_CREATE) == 1);
	ready();
	await_go();
	CHECK(close(open("d/new", O_WRONLY | O_CREAT, 0600)) == 0);
	EQUAL(read(in, buffer, sizeof buffer), 32);
	pass();
}
