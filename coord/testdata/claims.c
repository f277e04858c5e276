/* Overwrites its environment, as setproctitle(3) does, by the name of a group. Then it copies its input to its output. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	char entry[100], line[100];
	ssize_t got;
	int n = argc == 2 ? snprintf(entry, sizeof entry, "CRAK_GROUP=%s", argv[1]) : 0;

	/* /proc/PID/environ begins at the first entry. */
	if (n <= 0 || n >= (int)sizeof entry)
		return 1;
	memcpy(environ[0], entry, n + 1);
	while ((got = read(0, line, sizeof line)) > 0)
		if (write(1, line, got) != got)
			return 1;
	return got != 0;
}
