/*
 * The functions that the program would have called without us.
 *
 * dlsym takes the loader's locks, which a child of fork may find locked for ever where the parent had threads. So
 * what is called in such a child is looked up while the process has one thread still.
 */

#include <dlfcn.h>

#include "resident.h"

void *next_function(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* Before the first thread is made. */
void next_prepare(void)
{
	exec_prepare();
	setxid_prepare();
	cpu_prepare();
}
