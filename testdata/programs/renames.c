/*
 * A program that changes its names all the time: of its process, arguments, working directory, open and mapped files. The names contain
 * control characters for terminals, and text that misleads a careless parser of /proc.
 */
#include "check.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define ESCAPE "\nforged\x1b[31m"

static const char *const comms[] = { "x" ESCAPE, ")) R 1 1 (", "a b) S 0 0", "\xc2\x9b" "1m", "\xe2\x80\xae" "rtl", "" };
static const char *const places[] = { "../first" ESCAPE, "../second) R 1" };

int main(int argc, char **argv)
{
	CHECK(argc > 0 && mkdir(places[0] + 3, 0700) == 0 && mkdir(places[1] + 3, 0700) == 0 && chdir(places[0] + 3) == 0);
	ready();
	for (unsigned turn = 0;; turn++) {
		char name[64];
		void *memory;
		int fd;

		CHECK(prctl(PR_SET_NAME, comms[turn % 6]) == 0 && chdir(places[turn % 2]) == 0);
		memset(argv[0], 'A' + turn % 26, strlen(argv[0]));
		snprintf(name, sizeof(name), "file%u" ESCAPE, turn % 7);
		fd = open(name, O_CREAT | O_RDWR, 0600);
		CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
		memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		CHECK(memory != MAP_FAILED && rename(name, "renamed") == 0);
		if (turn % 3 == 0)
			CHECK(unlink("renamed") == 0);
		CHECK(munmap(memory, 4096) == 0 && close(fd) == 0);
	}
}
