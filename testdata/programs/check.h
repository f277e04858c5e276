/*
 * Common code of all workloads. A workload builds its state, calls ready(), waits in await_go() while it is checkpointed and
 * restarted, checks its state, and ends with pass(). await_go() waits for the file "go" in the working directory.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* fail prints the reason and ends the program. Threads and handlers may call it. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
	char text[512];
	int saved = errno;
	int n = snprintf(text, sizeof text, "FAIL ");
	va_list args;

	va_start(args, format);
	n += vsnprintf(text + n, sizeof text - n, format, args);
	va_end(args);
	if (n > (int)sizeof text - 40)
		n = sizeof text - 40;
	n += snprintf(text + n, sizeof text - n, " (errno %d)\n", saved);
	if (write(STDOUT_FILENO, text, n) < 0)
		_exit(2);
	_exit(1);
}

#define CHECK(cond)                                                                  \
	do {                                                                         \
		if (!(cond))                                                         \
			fail("%s:%d: %s", __FILE_NAME__, __LINE__, #cond);           \
	} while (0)

/* EQUAL compares two integers and prints both if they differ. */
#define EQUAL(have, want)                                                            \
	do {                                                                         \
		long long have_ = (long long)(have), want_ = (long long)(want);      \
		if (have_ != want_)                                                  \
			fail("%s:%d: %s is %lld, want %lld", __FILE_NAME__, __LINE__, \
			     #have, have_, want_);                                   \
	} while (0)

static inline void say(const char *line)
{
	size_t length = strlen(line);
	CHECK(write(STDOUT_FILENO, line, length) == (ssize_t)length);
}

static inline void ready(void)
{
	say("READY\n");
}

static inline void pass(void)
{
	say("PASS\n");
	exit(0);
}

/* pause_ms sleeps, and fails if the sleep is interrupted. */
static inline void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	if (nanosleep(&t, 0))
		fail("nanosleep");
}

static inline void await_file(const char *name)
{
	while (access(name, F_OK))
		pause_ms(2); /* inotify would be a descriptor that the test is not about */
}

static inline void await_go(void)
{
	await_file("go");
}

/* A cheap pseudo-random sequence, to fill memory and to check it. */
static inline uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline void fill(void *memory, size_t size, uint64_t seed)
{
	uint64_t *words = memory;
	for (size_t i = 0; i < size / 8; i++)
		words[i] = scramble(seed + i);
}

static inline void check_filled(const void *memory, size_t size, uint64_t seed)
{
	const uint64_t *words = memory;
	for (size_t i = 0; i < size / 8; i++)
		if (words[i] != scramble(seed + i))
			fail("memory at %p is %#llx, want %#llx", (void *)&words[i],
			     (unsigned long long)words[i], (unsigned long long)scramble(seed + i));
}

static inline void check_zero(const void *memory, size_t size)
{
	const uint64_t *words = memory;
	for (size_t i = 0; i < size / 8; i++)
		if (words[i])
			fail("memory at %p is %#llx, want 0", (void *)&words[i], (unsigned long long)words[i]);
}

/* slurp reads a small file and appends a zero byte. */
static inline size_t slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	if (fd < 0)
		fail("%s", path);
	while ((n = read(fd, text + length, size - 1 - length)) > 0)
		length += n;
	CHECK(n == 0);
	CHECK(close(fd) == 0);
	text[length] = 0;
	return length;
}

#endif
