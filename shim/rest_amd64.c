/*
 * Transfers the rest of the data of a call that a signal of CRAK has interrupted.
 *
 * If a blocked write to a pipe has transferred a part of its bytes, and any signal with a handler comes, the write returns their
 * number. Programs rely on the full count as long as no signal but CRAK's comes. So the thread goes on in a stub
 * (repeat_amd64.S):
 *
 *	program          crak_rest                    stub of a record
 *	syscall    ->    poll(2), only for a pipe     syscall
 *	                 the call, with the rest      syscall
 *	go on      <-    the sum in rax, registers restored, record freed
 *
 * The stub ends as the call would without CRAK: when all bytes are transferred, when a signal comes that is not CRAK's, or at an
 * error. In the last two cases the result is the number of bytes that were transferred. After a handler with SA_RESTART the
 * kernel repeats a call that has transferred nothing yet. For the rest that would be wrong. So a thread waits for a pipe in
 * poll(2), which fails with EINTR after every handler. For sockets and terminals poll(2) waits for more room than a call needs.
 * For these the stub makes the call at once, and such a handler does not end it until another byte is transferred.
 *
 * These calls still return early: writev(2) and sendmsg(2) on a socket, recvmsg(2), splice(2), sendfile(2) from anything but a file,
 * calls with other flags, and calls on a socket with a timeout. For splice(2) there is no rest: without a signal, too, it returns
 * when its pipe is empty, and the result does not show which of the two has happened.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "repeat_amd64.h"
#include "resident.h"

_Static_assert(offsetof(struct repeat, rest.stub) == REST_STUB && offsetof(struct repeat, rest.done) == REST_DONE &&
		       offsetof(struct repeat, rest.poll) == REST_POLL && offsetof(struct repeat, rest.address) == REST_ADDRESS &&
		       offsetof(struct repeat, rest.length) == REST_LENGTH && offsetof(struct repeat, rest.flags) == REST_FLAGS &&
		       offsetof(struct repeat, rest.next) == REST_NEXT && offsetof(struct repeat, rest.call) == REST_CALL &&
		       offsetof(struct repeat, rest.polls) == REST_POLLS && offsetof(struct repeat, rest.polling) == REST_POLLING &&
		       offsetof(struct repeat, rest.is_sendfile) == REST_IS_SENDFILE,
	       "struct rest");

#define IOVS_MAX 1024 /* UIO_MAXIOV */
#define IOVS 8	      /* how many are read at a time */

static int has_no_timeout(int number, const uint64_t *arguments)
{
	struct timeout timeout = timeout_of(number, arguments);

	return timeout_left(&timeout, arguments) < 0;
}

static int is_stream_socket(uint64_t fd)
{
	int type = 0;
	unsigned length = sizeof(type);

	return SYSCALL_5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

static int is_terminal(uint64_t fd)
{
	struct termios termios;

	return SYSCALL_3(SYS_ioctl, fd, TCGETS, &termios) == 0;
}

/* Returns the type of a file (S_IFREG, …), or 0. fstat(2) would not do: a network file system asks its server for the times, and first
 * writes back all that the program has written. A thread of the frozen program would wait for that. */
static unsigned type_of(uint64_t fd)
{
	struct statx stat;

	if (SYSCALL_5(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stat))
		return 0;
	return stat.stx_mode & S_IFMT;
}

/* Decides how a socket gets the rest. A call without MSG_NOSIGNAL that has transferred a part sends no SIGPIPE. */
static int on_socket(struct rest *rest, int number, const uint64_t *arguments)
{
	uint64_t flags = number == SYS_write || number == SYS_sendfile ? 0 : arguments[3];

	if (!is_stream_socket(arguments[0]) || !has_no_timeout(number == SYS_sendfile ? SYS_sendto : number, arguments))
		return 0;
	if (number == SYS_recvfrom) {
		rest->call = number;
		rest->flags = flags;
		return flags == MSG_WAITALL;
	}
	if (number == SYS_sendfile) {
		rest->call = number;
		rest->is_sendfile = 1;
		return type_of(arguments[1]) == S_IFREG;
	}
	rest->call = SYS_sendto;
	rest->flags = flags | MSG_NOSIGNAL;
	return (number == SYS_write || number == SYS_sendto) && (flags & ~(MSG_NOSIGNAL | MSG_MORE)) == 0;
}

/* Returns 1 if the rest of the call can be transferred. Sets `call`, `flags` and `polls` then. */
static int can_go_on(struct rest *rest, int number, const uint64_t *arguments)
{
	unsigned type;
	long flags;

	if (number != SYS_write && number != SYS_writev && number != SYS_sendto && number != SYS_recvfrom &&
	    number != SYS_sendfile)
		return 0;
	flags = SYSCALL_2(SYS_fcntl, arguments[0], F_GETFL);
	if (flags < 0 || flags & O_NONBLOCK)
		return 0;
	type = type_of(arguments[0]);
	if (type == S_IFSOCK)
		return on_socket(rest, number, arguments);
	if (number != SYS_write && number != SYS_writev)
		return 0;
	rest->call = SYS_write;
	rest->polls = type == S_IFIFO;
	if (rest->polls)
		return number == SYS_write || !(flags & O_DIRECT); /* a packet can hold bytes of two struct iovec */
	return type == S_IFCHR && is_terminal(arguments[0]);
}

/* Finds the rest in a list of struct iovec: the rest of one buffer, and the list after it. Returns 0 if there is no rest. */
static int in_list(struct rest *rest, const uint64_t *arguments)
{
	uint64_t skip = rest->done, list = arguments[1], count = arguments[2];
	struct iovec buffers[IOVS];

	if (count > IOVS_MAX)
		return 0;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t ahead = count - i < IOVS ? count - i : IOVS;
		struct iovec *buffer = &buffers[i % IOVS];

		if (i % IOVS == 0 && copy_in(buffers, list + i * sizeof(*buffer), ahead * sizeof(*buffer)))
			return 0;
		if (skip >= buffer->iov_len) {
			skip -= buffer->iov_len;
			continue;
		}
		rest->call = SYS_write;
		rest->address = (uint64_t)buffer->iov_base + skip;
		rest->length = buffer->iov_len - skip;
		rest->next = i + 1 < count ? i + 1 : 0;
		return 1;
	}
	return 0;
}

/* Finds what is left after rest->done bytes. Returns 0 if nothing is left. */
static int find(struct rest *rest, int number, const uint64_t *arguments)
{
	if (number == SYS_writev)
		return in_list(rest, arguments);
	if (number == SYS_sendfile) { /* the kernel has moved the position of the file, or *offset */
		rest->address = arguments[1];
		rest->length = arguments[3] - rest->done;
		return rest->done < arguments[3];
	}
	rest->address = arguments[1] + rest->done;
	rest->length = arguments[2] - rest->done;
	return rest->done < arguments[2];
}

void rest_begin(ucontext_t *context, struct repeat *repeat)
{
	REGISTER(context, R11) = (long long)repeat;
	REGISTER(context, RIP) = (long long)crak_rest;
}

int rest_is_next(const ucontext_t *context)
{
	return REGISTER(context, RIP) == (long long)crak_rest;
}

/* Ends the call: its result is what was transferred. Preconditions: rest_is_next. */
void rest_end(ucontext_t *context)
{
	const struct repeat *repeat = (const struct repeat *)REGISTER(context, R11);

	REGISTER(context, RAX) = -EINTR;
	REGISTER(context, RIP) = repeat->rest.stub + 2;
}

/*
 * recvmmsg(2) has returned before it had all messages. The kernel then keeps the reason as an error of the socket for the next call
 * (do_recvmmsg in net/socket.c). If the reason is the signal, that error is one of the kernel's own (512), which no program expects. To
 * read the error takes it away.
 */
static void forget_interruption(const uint64_t *arguments, long result)
{
	unsigned length = sizeof(int);
	int error;

	if ((unsigned long)result < (unsigned)arguments[2])
		SYSCALL_5(SYS_getsockopt, arguments[0], SOL_SOCKET, SO_ERROR, &error, &length);
}

/*
 * Lets the thread go on with the rest of the data if the frame stands after a call that has transferred a part. Returns the number
 * of the program's call, or -1 if there is no rest or it cannot be transferred. Preconditions: a signal of CRAK has come.
 */
int rest_of(ucontext_t *context, const siginfo_t *info)
{
	struct repeat *repeat = repeat_at_stub(REGISTER(context, RIP), 2);
	struct rest rest = { .stub = 0 };
	long result = REGISTER(context, RAX);
	int number;

	if (result <= 0 || (repeat && (!repeat->is_rest || repeat->rest.polling)))
		return -1;
	if (!repeat) {
		uint64_t arguments[] = { REGISTER(context, RDI), REGISTER(context, RSI), REGISTER(context, RDX),
					 REGISTER(context, R10) };

		number = known_syscall(context, info);
		rest.done = result;
		if (interrupted_syscall(context, info) == SYS_recvmmsg)
			forget_interruption(arguments, result);
		if (!can_go_on(&rest, number, arguments) || !find(&rest, number, arguments) ||
		    !(repeat = repeat_record(context, number)))
			return -1;
		rest.stub = repeat_stub(repeat);
		rest.poll = (struct pollfd){ .fd = arguments[0], .events = POLLOUT };
	} else {
		rest = repeat->rest;
		rest.done += result;
		if (!find(&rest, repeat->number, repeat->arguments))
			return -1;
	}
	repeat->rest = rest;
	repeat->is_rest = 1;
	rest_begin(context, repeat);
	return repeat->number;
}
