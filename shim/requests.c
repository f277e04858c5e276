/*
 * The initiator's loop while the process is frozen. It carries out the writer's requests until the writer
 *	- sends RESUME,
 *	- closes the socket or dies, or
 *	- has sent no message for the freeze limit (the writer may be stopped, or its disk may not respond).
 */

#include "resident.h"

#include <errno.h>

#define REPEAT_BOUND 10000 /* ms */

static struct abi_call calls[ABI_CALLS_MAX];
static char data[ABI_DATA_MAX] __attribute__((aligned(16)));
static int64_t results[ABI_CALLS_MAX];

/* Argument i of the call with this index. What the writer asks for beyond the data or the earlier results is 0. */
static uint64_t argument(unsigned index, int i)
{
	uint64_t value = calls[index].args[i];
	unsigned relative = calls[index].relative;

	if (relative & ABI_DATA(i))
		return value + (uint64_t)data;
	if (relative & ABI_VALUE(i))
		return value <= sizeof(data) - sizeof(unsigned) && value % sizeof(unsigned) == 0 ? *(unsigned *)(data + value) : 0;
	if (relative & ABI_RESULT(i))
		return value < index ? (uint64_t)results[value] : 0;
	return value;
}

/* Tells whether the call has to be made once more. */
static int unfinished(unsigned index, const uint64_t *args)
{
	unsigned relative = calls[index].relative;

	if (relative & ABI_WHILE_FULL)
		return results[index] == -EAGAIN;
	if (relative & ABI_WHILE_LESS)
		return results[index] == 0 && *(int *)args[2] < (int)args[3] && *(int *)args[2] < (int)args[4];
	return 0;
}

static int64_t call(unsigned number, const uint64_t *args)
{
	switch (number) {
	case ABI_CALL_ADDRESS:
		return args[0];
	case ABI_CALL_AIO_ROOM:
		return aio_room(args[0], args[1], args[2], args[3]);
	default:
		return syscall6(number, args[0], args[1], args[2], args[3], args[4], args[5]);
	}
}

static void make(unsigned index)
{
	uint64_t args[6];
	long until = 0;

	for (int i = 0; i < 6; i++)
		args[i] = argument(index, i);
	for (;;) {
		results[index] = call(calls[index].number, args);
		if (!unfinished(index, args))
			return;
		if (!until)
			until = milliseconds() + REPEAT_BOUND;
		if (milliseconds() > until)
			return;
		SYSCALL_3(SYS_poll, NULL, 0, 1); /* a worker of the kernel has to go on; no event tells when it has */
	}
}

/* Reads the rest of a CALLS message: abi_call[count] and data. Answers with int64[count] and the data. */
static int make_calls(int socket, const struct abi_message *request, long until)
{
	size_t length = request->count * sizeof(calls[0]);
	struct abi_message answer = { ABI_RESULTS, request->count, 0 };
	struct iovec parts[] = { { &answer, sizeof(answer) }, { results, 0 }, { data, 0 } };

	if (request->count > ABI_CALLS_MAX || request->length < length || request->length - length > sizeof(data))
		return -1;
	if (wire_read(socket, calls, length, until) || wire_read(socket, data, request->length - length, until))
		return -1;
	for (unsigned i = 0; i < request->count; i++)
		make(i);
	parts[1].iov_len = request->count * sizeof(results[0]);
	parts[2].iov_len = request->length - length;
	answer.length = parts[1].iov_len + parts[2].iov_len;
	return wire_write(socket, parts, 3);
}

void serve(int socket)
{
	struct abi_message request;
	int64_t result;
	long until;

	while (until = milliseconds() + resident.freeze_limit, wire_read(socket, &request, sizeof(request), until) == 0) {
		switch (request.type) {
		case ABI_PROGRESS:
			break;
		case ABI_CALLS:
			if (make_calls(socket, &request, until))
				return;
			break;
		case ABI_SNAPSHOT:
			result = snapshot(socket);
			if (wire_send(socket, ABI_RESULTS, 1, &result, sizeof(result)))
				return;
			break;
		default: /* RESUME, or an unknown request */
			return;
		}
	}
}
