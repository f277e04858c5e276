/*
 * crak.h: for programs that take part in their own checkpoints.
 *
 * Every function is weak: a program compiled with this header and linked
 * against nothing runs unchanged without libcrak.so; the macros below then do
 * nothing. With it (LD_PRELOAD=libcrak.so, or crak run) they call the library.
 *
 *	switch (crak_checkpoint()) {
 *	case 0:  the image is on disk, this is the program going on
 *	case 1:  this is the program restarted from that image
 *	default: no image, the program goes on: -ENOSYS without the library,
 *	         -EBUSY while another checkpoint is made (so in a callback, too),
 *	         -EPERM in a child of vfork, -ECANCELED when the checkpoint failed
 *	         (crak.log says why: for one, that crak_hold was in force for a minute)
 *	}
 */
#ifndef CRAK_H
#define CRAK_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Functions for crak_on: called by one thread, inside a signal handler, while
 * every other thread is stopped. They may do what signal-safety(7) allows, and
 * take no lock that a stopped thread may hold.
 */
struct crak_callbacks {
	void (*before)(void *data);  /* before the picture is taken */
	void (*after)(void *data);   /* the program goes on */
	void (*restart)(void *data); /* the program was restarted */
	void *data;
};

extern int crak_checkpoint(void) __attribute__((weak));

/* Remembers the callbacks, which must stay where they are; 0, or -ENOMEM when there are 16 already. */
extern int crak_on(const struct crak_callbacks *) __attribute__((weak));

/*
 * Between hold and release no checkpoint begins; one that is asked for waits. They nest. The thread that has called
 * crak_hold calls crak_release. A child of fork() begins with the holds of the thread that called fork, and with nobody
 * else's.
 */
extern void crak_hold(void) __attribute__((weak));
extern void crak_release(void) __attribute__((weak));

#define CRAK_CHECKPOINT() (crak_checkpoint ? crak_checkpoint() : -38 /* -ENOSYS */)
#define CRAK_ON(callbacks) (crak_on ? crak_on(callbacks) : -38)
#define CRAK_HOLD() do { if (crak_hold) crak_hold(); } while (0)
#define CRAK_RELEASE() do { if (crak_release) crak_release(); } while (0)

#ifdef __cplusplus
}
#endif

#endif
