/*
 * The one function we interpose, pthread_create.
 *
 * The program's calls: glibc takes the freeze signal for itself in the first
 * of them (SIGSETXID), so the handler is put back after it.
 *
 * Our own library's calls (-Wl,--wrap): the Go runtime starts its first thread
 * from a constructor. In a program that was only preloaded it never starts.
 */

#include <dlfcn.h>
#include <pthread.h>

#include "resident.h"

typedef int create_function(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static create_function *next_create(void)
{
	static create_function *next;

	if (!load(&next))
		store(&next, (create_function *)dlsym(RTLD_NEXT, "pthread_create"));
	return load(&next);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
			  void *argument)
{
	static int guarded;
	int error = next_create()(thread, attributes, start, argument);

	if (!error && !load(&guarded) && !resident.is_program) {
		install_freeze_handler();
		store(&guarded, 1);
	}
	return error;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
			  void *argument)
{
	if (!resident.is_program)
		return 0;
	return next_create()(thread, attributes, start, argument);
}
