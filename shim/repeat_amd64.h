/* The records of calls that a thread makes again from a stub. repeat_amd64.S and the C files share these definitions. */
#ifndef CRAK_REPEAT_AMD64_H
#define CRAK_REPEAT_AMD64_H

#define REPEAT_PAGES 4
#define REPEAT_STUB 16	  /* bytes of code for each record */
#define REPEAT_PER_PAGE 256 /* in place of its first stub, each page has the distance to its records */
#define REPEAT_RECORD 128 /* bytes */
#define REPEAT_COUNT (REPEAT_PAGES * REPEAT_PER_PAGE)

/* Offsets in struct repeat. */
#define REPEAT_IP 0
#define REPEAT_RDI 8
#define REPEAT_RSI 16
#define REPEAT_RDX 24
#define REPEAT_R10 32
#define REPEAT_R8 40
#define REPEAT_R9 48
#define REPEAT_OWNER 56
#define REPEAT_IS_REST 74
#define REPEAT_LEFT 80
#define REPEAT_BACK 96
#define REST_STUB 80
#define REST_DONE 88
#define REST_POLL 96
#define REST_ADDRESS 104
#define REST_LENGTH 112
#define REST_FLAGS 120
#define REST_NEXT 122
#define REST_CALL 124
#define REST_POLLS 125
#define REST_POLLING 126
#define REST_IS_SENDFILE 127

#ifndef __ASSEMBLER__

#include <poll.h>

#include "resident.h"
#include "timeout.h"

#define REGISTER(context, name) ((context)->uc_mcontext.gregs[REG_##name])

/* A call with a timeout (repeat_amd64.c). */
struct timed {
	int64_t left[2]; /* copy of the timeout: a timespec or timeval */
	uint64_t back;	 /* address to which the stub copies `left` after the call, or 0 */
	int64_t end;	 /* of the timeout: CLOCK_MONOTONIC, nanoseconds */
	struct timeout timeout;
};

/* The rest of the data of a call that has transferred a part (rest_amd64.c). */
struct rest {
	uint64_t stub;		  /* its address */
	uint64_t done;		  /* bytes that were transferred */
	struct pollfd poll;
	uint64_t address, length; /* what the call for the rest transfers */
	uint16_t flags;		  /* its fourth argument */
	uint16_t next;		  /* index of the struct iovec with which writev(2) goes on then; 0: nothing is left then */
	uint8_t call;		  /* number of the system call for the rest */
	uint8_t polls;		  /* 1: poll(2) comes before each call */
	uint8_t polling;	  /* 1: the stub makes poll(2) and not the call */
	uint8_t is_sendfile;	  /* 1: the call is sendfile(2); `address` is its second argument, and `length` its fourth */
};

struct repeat {
	uint64_t ip;	      /* address after the program's syscall instruction */
	uint64_t arguments[6]; /* the program's */
	int *owner;
	uint64_t sp;
	short number;
	char is_rest;
	union {
		struct timed timed;
		struct rest rest;
	};
} __attribute__((aligned(REPEAT_RECORD)));

/* repeat_amd64.c */
struct repeat *repeat_at_stub(uint64_t ip, unsigned offset);
uint64_t repeat_stub(const struct repeat *);
struct repeat *repeat_record(const ucontext_t *, int number);

/* rest_amd64.c */
void rest_begin(ucontext_t *, struct repeat *);

/* repeat_amd64.S */
extern const char crak_repeat_stubs[] __attribute__((visibility("hidden")));
extern const char crak_rest[] __attribute__((visibility("hidden")));

#endif
#endif
