/*
 * Sets a limit so low that a checkpoint can fail: `files` (uses up the descriptors), `processes`, `filesize`, `memory` (address
 * space, soft limit), `hard` (address space, soft and hard limit).
 */
#include "check.h"

#include <sys/mman.h>
#include <sys/resource.h>

enum { TOO_LITTLE = 60 << 20 }; /* bytes; Go's runtime in the writer reserves more address space */

static void set_limit(int resource, rlim_t value)
{
	struct rlimit limit;
	CHECK(getrlimit(resource, &limit) == 0);
	limit.rlim_cur = value;
	if (resource == RLIMIT_FSIZE || value == TOO_LITTLE)
		limit.rlim_max = value; /* the hard limit, too: the writer would raise the soft one */
	CHECK(setrlimit(resource, &limit) == 0);
}

int main(int argc, char **argv)
{
	static char block[1 << 20];
	const char *what = argc > 1 ? argv[1] : "";
	int fd;

	fill(block, sizeof block, 1);
	if (!strcmp(what, "files")) {
		set_limit(RLIMIT_NOFILE, 40);
		while ((fd = open("/dev/null", O_RDONLY)) >= 0)
			;
		EQUAL(errno, EMFILE);
	}
	if (!strcmp(what, "processes"))
		set_limit(RLIMIT_NPROC, 1);
	if (!strcmp(what, "filesize"))
		set_limit(RLIMIT_FSIZE, 4096);
	if (!strcmp(what, "memory"))
		set_limit(RLIMIT_AS, 64 << 20);
	if (!strcmp(what, "hard"))
		set_limit(RLIMIT_AS, TOO_LITTLE);
	ready();
	await_go();
	check_filled(block, sizeof block, 1);
	pass();
}
