/* cc: -fexceptions */
/*
 * Functions that read the list of loaded objects: dl_iterate_phdr(3), backtrace(3), and the unwinder that runs the cleanup
 * handlers of a cancelled thread. Before and after a restart they must find libcrak.so as an ordinary library. A backtrace
 * in a callback must lead from the resident's stack to main's caller.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <string.h>

#include "check.h"
#include "crak.h"

static int libraries;

/* Reads one byte of every page of libcrak.so's readable segments. */
static int look(struct dl_phdr_info *info, size_t size, void *unused)
{
	unsigned sum = 0;

	(void)size;
	(void)unused;
	if (!strstr(info->dlpi_name, "libcrak"))
		return 0;
	libraries++;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_R))
			continue;
		for (size_t at = 0; at < segment->p_memsz; at += 4096)
			sum += *(const volatile unsigned char *)(info->dlpi_addr + segment->p_vaddr + at);
	}
	CHECK(sum != 0);
	return 0;
}

static int cleaned;

static void clean(void *unused)
{
	(void)unused;
	cleaned++;
}

static void *sleeper(void *unused)
{
	pthread_cleanup_push(clean, NULL);
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return unused;
}

/* preloaded: 1 if libcrak.so is loaded, else 0. */
static void inspect(pthread_t thread, int preloaded)
{
	void *frames[32], *result;
	int count = cleaned;

	libraries = 0;
	dl_iterate_phdr(look, NULL);
	EQUAL(libraries, preloaded);
	CHECK(backtrace(frames, 32) >= 3);
	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(cleaned == count + 1);
}

static void *caller; /* the function of libc that called main */
static int befores, restarts, lost;

static void trace(void *count)
{
	void *frames[32];
	int depth = backtrace(frames, 32), found = 0;

	++*(int *)count;
	for (int i = 0; i < depth; i++)
		found |= frames[i] == caller;
	lost += !found;
}

int main(void)
{
	static const struct crak_callbacks before = {.before = trace, .data = &befores};
	static const struct crak_callbacks restart = {.restart = trace, .data = &restarts};
	int preloaded = getenv("LD_PRELOAD") != NULL;
	pthread_t first, second;

	caller = __builtin_return_address(0);
	CHECK(!preloaded || (CRAK_ON(&before) == 0 && CRAK_ON(&restart) == 0));
	CHECK(pthread_create(&first, NULL, sleeper, NULL) == 0);
	CHECK(pthread_create(&second, NULL, sleeper, NULL) == 0);
	inspect(first, preloaded);
	ready();
	await_go();
	inspect(second, preloaded);
	CHECK(!preloaded || (befores > 0 && restarts > 0));
	EQUAL(lost, 0);
	pass();
}
