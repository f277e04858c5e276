/* A directory that was read to its end is read again from its beginning. */
#include "check.h"

#include <dirent.h>
#include <sys/stat.h>

#define FILES 300

static int count(DIR *directory)
{
	int n = 0;

	for (struct dirent *entry; (entry = readdir(directory));)
		n += entry->d_name[0] == 'f';
	return n;
}

int main(void)
{
	char name[32];
	DIR *directory;

	CHECK(mkdir("many", 0700) == 0);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "many/f%03d", i);
		CHECK(close(open(name, O_CREAT | O_WRONLY, 0600)) == 0);
	}
	CHECK((directory = opendir("many")));
	EQUAL(count(directory), FILES);
	ready();
	await_go();
	EQUAL(count(directory), 0);
	rewinddir(directory);
	EQUAL(count(directory), FILES);
	pass();
}
