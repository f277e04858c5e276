/*
 * The functions we interpose: those by which a program makes threads.
 *
 * glibc takes the freeze signal for itself when it makes the
 * first thread (SIGSETXID), so the handler is put back after it. Not only
 * pthread_create does that: glibc makes threads by itself for C11, for timers with
 * SIGEV_THREAD, for asynchronous I/O and look-ups, and calls no exported function then.
 * (The other signal that it keeps out of every mask, SIGCANCEL, is no choice: the
 * thread of such timers waits for it, with everything blocked but SIGSETXID.)
 */

#include <aio.h>
#include <mqueue.h>
#include <netdb.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>

#include "resident.h"

/* After a call that may have made the first thread. That may be executing a program by now, and ignore the signal. The
 * writer, in which our constructor has not run, has no settings. */
static void guard(void)
{
	static int guarded;
	int locked;

	if (load(&guarded) || !resident.settings_length)
		return;
	locked = exec_lock();
	if (install_freeze_handler())
		store(&guarded, 1);
	if (locked)
		exec_unlock();
}

/* NEXT is the function of that name that the program would have called without us. */
#define NEXT(name)                                                          \
	({                                                                  \
		static __typeof__(&name) next;                              \
		if (!load(&next)) {                                         \
			next_prepare();                                     \
			store(&next, (__typeof__(&name))next_function(#name)); \
		}                                                           \
		load(&next);                                                \
	})

#define INTERPOSE(name, parameters, ...)              \
	EXPORT int name parameters                    \
	{                                             \
		int result = NEXT(name)(__VA_ARGS__); \
		guard();                              \
		return result;                        \
	}

INTERPOSE(pthread_create, (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument),
	  thread, attributes, start, argument)
INTERPOSE(thrd_create, (thrd_t * thread, thrd_start_t start, void *argument), thread, start, argument)
INTERPOSE(timer_create, (clockid_t clock, struct sigevent *event, timer_t *timer), clock, event, timer)
INTERPOSE(mq_notify, (mqd_t queue, const struct sigevent *event), queue, event)
INTERPOSE(getaddrinfo_a, (int mode, struct gaicb *list[], int count, struct sigevent *event), mode, list, count, event)
INTERPOSE(aio_read, (struct aiocb * block), block)
INTERPOSE(aio_read64, (struct aiocb64 * block), block)
INTERPOSE(aio_write, (struct aiocb * block), block)
INTERPOSE(aio_write64, (struct aiocb64 * block), block)
INTERPOSE(aio_fsync, (int operation, struct aiocb *block), operation, block)
INTERPOSE(aio_fsync64, (int operation, struct aiocb64 *block), operation, block)
INTERPOSE(lio_listio, (int mode, struct aiocb *const list[], int count, struct sigevent *event), mode, list, count, event)
INTERPOSE(lio_listio64, (int mode, struct aiocb64 *const list[], int count, struct sigevent *event), mode, list, count, event)
