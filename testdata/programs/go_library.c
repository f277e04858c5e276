/*
 * Loads a Go library (-buildmode=c-shared) by dlopen(3) and calls it before and after the checkpoint. With "timed" the library
 * sleeps once before the checkpoint: Go's runtime then makes an epoll instance and an eventfd, which it never closes.
 *
 *	go_library LIBRARY [timed]
 *
 * If LIBRARY is the empty string, dlopen returns the program itself: the library is then an archive (-buildmode=c-archive) that
 * the program was linked with.
 */
#include "check.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
	void *library = dlopen(argv[1], RTLD_NOW);

	if (!library)
		fail("%s", dlerror());
	long (*count)(long) = (long (*)(long))dlsym(library, "Count");
	void (*rest)(void) = (void (*)(void))dlsym(library, "Rest");

	CHECK(count && rest);
	EQUAL(count(100), 100);
	if (argc > 2)
		rest();
	ready();
	await_go();
	EQUAL(count(100), 200);
	rest();
	pass();
}
