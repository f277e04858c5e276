/*
 * Files that processes have open. With one description they share an offset and flags, with two they do not. A child, a
 * sibling and a grandchild share descriptions with the root. One of them has another descriptor number for it.
 */
#include "group.h"

static int common, moved, own;

static off_t at(int fd) { return lseek(fd, 0, SEEK_CUR); }

static void expect(int fd, off_t offset, const char *text)
{
	char got[16];

	EQUAL(at(fd), offset);
	EQUAL(read(fd, got, strlen(text)), strlen(text));
	if (memcmp(got, text, strlen(text)))
		fail("at %lld: %.*s, want %s", (long long)offset, (int)strlen(text), got, text);
}

/* Reads the second piece by the common description. */
static int grandchild(long number)
{
	mark("grand");
	await_mark("second");
	expect(common, 10, "klm");
	CHECK(fcntl(common, F_SETFL, O_APPEND) == 0);
	mark("third");
	return number;
}

static int kid(long number)
{
	pid_t grand;

	moved = dup2(common, 77);
	own = open("letters", O_RDONLY | O_CLOEXEC);
	CHECK(moved == 77 && own >= 0);
	EQUAL(lseek(own, 20, SEEK_SET), 20);
	grand = child(grandchild, 9);
	await_mark("grand");
	mark("kid");
	await_go();
	expect(own, 20, "uvw");
	await_mark("first");
	expect(moved, 7, "hij");
	mark("second");
	reap(grand, 9);
	return number;
}

/* Both write records to one file at the same time. None may be lost, because they share the offset. */
static int scribble(long number)
{
	char record[8];

	snprintf(record, sizeof record, "%-7ld", number);
	record[7] = '\n';
	for (int i = 0; i < 500; i++) {
		EQUAL(write(common, record, sizeof record), sizeof record);
		if (i % 50 == 0)
			pause_ms(1);
	}
	return number;
}

int main(void)
{
	int fd = open("letters", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char name[] = "abcdefghijklmnopqrstuvwxyz";
	pid_t one, other;

	CHECK(fd >= 0);
	EQUAL(write(fd, name, 26), 26);
	CHECK(close(fd) == 0);
	common = open("letters", O_RDWR);
	own = open("letters", O_RDONLY);
	EQUAL(lseek(common, 7, SEEK_SET), 7);
	one = child(kid, 8);
	await_mark("kid");
	EQUAL(lseek(own, 3, SEEK_SET), 3);
	ready();
	await_go();
	expect(own, 3, "def");
	mark("first");
	await_mark("third");
	reap(one, 8);
	EQUAL(at(common), 13);
	CHECK(fcntl(common, F_GETFL) & O_APPEND);
	CHECK(!(fcntl(own, F_GETFL) & O_APPEND));

	CHECK(close(common) == 0);
	common = open("records", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(common >= 0);
	one = child(scribble, 1);
	other = child(scribble, 2);
	reap(one, 1);
	reap(other, 2);
	EQUAL(at(common), 1000 * 8);
	pass();
}
