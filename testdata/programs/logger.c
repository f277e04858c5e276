/* Reads one file, and writes log lines to two others: with O_APPEND and at an offset. */
#include "check.h"

static void log_line(int appended, int written, int number)
{
	char line[32];
	int n = snprintf(line, sizeof line, "line %d\n", number);

	CHECK(write(appended, line, n) == n);
	CHECK(write(written, line, n) == n);
}

int main(void)
{
	int input = open("input.txt", O_RDONLY);
	int appended = open("appended.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	int written = open("written.log", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char text[6] = {0};

	CHECK(read(input, text, 5) == 5 && !strcmp(text, "first"));
	for (int i = 1; i <= 3; i++)
		log_line(appended, written, i);
	ready();
	await_go();
	for (int i = 4; i <= 6; i++)
		log_line(appended, written, i);
	CHECK(lseek(input, 1, SEEK_CUR) == 6);
	CHECK(read(input, text, 5) == 5 && !strcmp(text, "secon"));
	pass();
}
