/* Reads one line of its input, and waits until the pipe has no writer. After the checkpoint it reads the rest. */

#include <poll.h>

#include "check.h"

int main(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };
	char text[64];
	ssize_t n = 0;

	while (n == 0 || text[n - 1] != '\n')
		CHECK(read(0, text + n++, 1) == 1);
	while (!(input.revents & POLLHUP))
		CHECK(poll(&input, 1, -1) == 1);
	ready();
	await_go();
	n = read(0, text, sizeof(text));
	CHECK(n == 4 && memcmp(text, "two\n", 4) == 0);
	EQUAL(read(0, text, 1), 0);
	pass();
}
