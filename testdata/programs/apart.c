/* A thread that does not share the descriptors, or the directories, of the process (unshare(2)). */
#include "check.h"

#include <pthread.h>
#include <sched.h>

static void *leave(void *what)
{
	CHECK(unshare((long)what) == 0);
	ready();
	await_go();
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	long what = argc > 1 && !strcmp(argv[1], "files") ? CLONE_FILES : CLONE_FS;

	CHECK(pthread_create(&thread, NULL, leave, (void *)what) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	pass();
}
