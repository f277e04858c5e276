/* Describes where a system call has its relative timeout. */
#ifndef CRAK_TIMEOUT_H
#define CRAK_TIMEOUT_H

#include <stdint.h>

enum timeout_kind {
	TIMEOUT_NONE,
	TIMEOUT_TIMESPEC,     /* argument: its address */
	TIMEOUT_TIMEVAL,      /* argument: its address */
	TIMEOUT_MILLISECONDS, /* argument */
	TIMEOUT_SOCKET,       /* an option of the socket, which is argument 0 */
};

struct timeout {
	enum timeout_kind kind : 8;
	signed char argument;	   /* 0 to 5 */
	signed char written;	   /* 1: the kernel has overwritten the timeout with the time that is left */
	signed char rest;	   /* argument with the address to which the kernel has written the time that is left, or 0; or -1: none */
	signed char socket_option; /* SO_RCVTIMEO, SO_SNDTIMEO */
};

/* timeout.c */
struct timeout timeout_of(int number, const uint64_t *arguments);
int64_t timeout_left(const struct timeout *, const uint64_t *arguments);

#endif
