/* Kernel AIO (io_setup(2)) without a library. */
#ifndef AIO_H
#define AIO_H

#include "group.h"

#include <linux/aio_abi.h>
#include <poll.h>

static inline aio_context_t make_context(unsigned requests)
{
	aio_context_t context = 0;

	EQUAL(syscall(SYS_io_setup, requests, &context), 0);
	return context;
}

static inline void submit(aio_context_t context, struct iocb *one)
{
	EQUAL(syscall(SYS_io_submit, context, 1, &one), 1);
}

static inline struct iocb request(int operation, int fd, void *buffer, uint64_t length, uint64_t data)
{
	return (struct iocb){.aio_lio_opcode = operation, .aio_fildes = fd, .aio_buf = (uintptr_t)buffer, .aio_nbytes = length, .aio_data = data};
}

#endif
