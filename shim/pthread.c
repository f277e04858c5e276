/*
 * Interposes the functions that create threads.
 *
 * When glibc creates the first thread, it installs its own handler for the freeze signal (SIGSETXID). So the resident
 * installs its handler again after that. pthread_create is not the only such function: glibc also creates threads for C11
 * threads, timers with SIGEV_THREAD, asynchronous I/O and asynchronous name look-ups, and does not call the exported
 * pthread_create then.
 *
 * (SIGCANCEL, the other signal that programs cannot block, cannot be the freeze signal. The thread of such timers waits for
 * SIGCANCEL and blocks all signals but SIGSETXID.)
 */

#include <aio.h>
#include <mqueue.h>
#include <netdb.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>

#include "resident.h"

/*
 * Called after a function that may have created the first thread. The new thread may already execute a program, and
 * ignore the freeze signal for that; exec_lock waits for it. The writer runs this code too, but has no resident: there the
 * constructor has not run, so settings_length is 0.
 */
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

/* NEXT(name) is the function that the program would have called without libcrak.so. */
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
