/*
 * crak.h - for programs that take part in their own checkpoints
 *
 * A program needs no library at link time: it includes this header and uses the macros below. If the program runs with
 * libcrak.so (crak run, or LD_PRELOAD=libcrak.so), the macros call the library. If it runs without the library, the macros
 * do nothing: the functions are weak symbols, and their addresses are then NULL.
 *
 *	CRAK_HOLD();              no checkpoint from here ...
 *	CRAK_RELEASE();           ... to here
 *
 *	switch (CRAK_CHECKPOINT()) {
 *	case 0:                   the image is on disk, and the program goes on
 *	case 1:                   the program was restarted from that image
 *	default:                  there is no image, and the program goes on
 *	}
 */
#ifndef CRAK_H
#define CRAK_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Callbacks that crak_on registers. Each function may be NULL.
 *
 * One thread of the program calls them, in a signal handler, while all other threads are stopped. So they may call only
 * functions that signal-safety(7) lists, and must not take a lock that a stopped thread may hold. They run on a stack of
 * 256 KiB. In a group of processes all functions `before` of all processes have returned before any process is saved.
 */
struct crak_callbacks {
	void (*before)(void *data);  /* before the state of the program is saved */
	void (*after)(void *data);   /* after that, before the other threads go on */
	void (*restart)(void *data); /* after a restart, before the other threads go on */
	void *data;                  /* argument of the functions */
};

/*
 * crak_checkpoint - make a checkpoint of the calling program and its descendants
 *
 * The image has the calling process, its children, their children, and so on, but not its parent.
 * The function starts a process that writes the image, and waits for it. Any thread may call it.
 *
 * Return value:
 *	0		The image is on disk. The program goes on.
 *	1		The program was restarted from that image.
 *	-EBUSY		Another checkpoint of the program is being made. A callback gets this error, too.
 *	-EPERM		The caller is a child of vfork(2).
 *	-ECANCELED	The checkpoint failed. crak.log has the reason: for example, a hold lasted longer than a minute.
 *	-ENOSYS		The program runs without libcrak.so (from the macro only).
 *	other -errno	The process that writes the image could not be started.
 */
extern int crak_checkpoint(void) __attribute__((weak));

/*
 * crak_on - register callbacks
 *
 * The library keeps the pointer, so the structure must stay valid and unchanged until the program ends. There is no way to
 * remove callbacks. They are called in the order in which they were registered.
 *
 * Return value:
 *	0		The callbacks are registered.
 *	-ENOMEM		16 structures are registered already, or there is no memory for the callbacks' stack.
 *	-ENOSYS		The program runs without libcrak.so (from the macro only).
 */
extern int crak_on(const struct crak_callbacks *) __attribute__((weak));

/*
 * crak_hold, crak_release - delay checkpoints
 *
 * No checkpoint begins between crak_hold and crak_release. A request waits for crak_release, for at most a minute. If a
 * checkpoint has begun already, crak_hold waits until the program goes on.
 *
 * Holds are counted. The thread that called crak_hold must call crak_release as often. A child of fork(2) begins with the holds
 * of the thread that called fork, and without those of other threads.
 */
extern void crak_hold(void) __attribute__((weak));
extern void crak_release(void) __attribute__((weak));

/* The same functions as macros, which a program can also use without libcrak.so. */

#define CRAK_CHECKPOINT() (crak_checkpoint ? crak_checkpoint() : -38 /* -ENOSYS */)
#define CRAK_ON(callbacks) (crak_on ? crak_on(callbacks) : -38)
#define CRAK_HOLD() do { if (crak_hold) crak_hold(); } while (0)
#define CRAK_RELEASE() do { if (crak_release) crak_release(); } while (0)

#ifdef __cplusplus
}
#endif

#endif
