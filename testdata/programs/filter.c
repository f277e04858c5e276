/* Answers each line of its input with "got LINE". Writes its PID to the file pid. */
#include "check.h"

int main(void)
{
	char line[128], answer[160];
	size_t n = 0;
	int pid = open("pid", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(dprintf(pid, "%d\n", getpid()) > 0 && close(pid) == 0);
	/* Reads byte by byte: bytes that it had read ahead would be lost with the pipe. */
	while (read(0, &line[n], 1) == 1) {
		if (line[n] != '\n') {
			CHECK(++n < sizeof line);
			continue;
		}
		int length = snprintf(answer, sizeof answer, "got %.*s\n", (int)n, line);
		CHECK(write(1, answer, length) == length);
		n = 0;
	}
	say("end\n");
	return 7;
}
