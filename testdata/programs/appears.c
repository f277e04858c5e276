/*
 * appears FILE [REGEXP [COUNT]]: waits until FILE exists and, with REGEXP, until COUNT (1) of its lines match. For shell scripts, which
 * cannot await an event. It fails after a minute.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Watches the directory of a file, or the nearest directory above it that exists. */
static void watch(int events, const char *file)
{
	char path[PATH_MAX];
	const char *directory;

	snprintf(path, sizeof(path), "%s", file);
	do {
		directory = dirname(path);
		memmove(path, directory, strlen(directory) + 1);
	} while (inotify_add_watch(events, path, IN_CREATE | IN_MOVED_TO | IN_MODIFY) < 0 && errno == ENOENT);
}

/* The number of lines that match. */
static long matches(const char *file, const regex_t *regexp)
{
	char *line = NULL;
	size_t size = 0;
	long count = 0;
	FILE *f = fopen(file, "r");

	if (!f)
		return 0;
	while (getline(&line, &size, f) > 0)
		count += regexec(regexp, line, 0, NULL, 0) == 0;
	free(line);
	fclose(f);
	return count;
}

int main(int argc, char **argv)
{
	long count = argc > 3 ? atol(argv[3]) : 1;
	int events = inotify_init1(IN_CLOEXEC);
	char event[4096];
	regex_t regexp;

	if (argc < 2 || events < 0 || (argc > 2 && regcomp(&regexp, argv[2], REG_EXTENDED | REG_NOSUB)))
		return 2;
	alarm(60);
	for (;;) {
		watch(events, argv[1]);
		if (argc > 2 ? matches(argv[1], &regexp) >= count : access(argv[1], F_OK) == 0)
			return 0;
		if (read(events, event, sizeof(event)) < 0)
			return 1;
	}
}
