/*
 * Looks up the functions that the resident's interposed functions call: those that the program would have called without
 * libcrak.so.
 *
 * dlsym takes locks of the dynamic loader. If a process with several threads forks, such a lock may stay locked in the child
 * for ever. So functions that may be needed in such a child are looked up while the process has only one thread.
 */

#include <dlfcn.h>

#include "resident.h"

void *next_function(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* Called before the first thread is created. */
void next_prepare(void)
{
	exec_prepare();
	setxid_prepare();
	cpu_prepare();
	wait_prepare();
}
