/*
 * Counts the requests that a context of kernel AIO (io_setup(2)) still takes. No file of /proc and no call tells how many are under
 * way, but the kernel refuses a request beyond the context's limit. So a child process fills the context with requests that wait
 * for an eventfd. When no more fit, it makes the eventfd readable. Then all of them are complete, and the child takes their events out
 * of the ring, in which the kernel gives events to the program. Events of other requests stay there, in their order.
 *
 * The kernel keeps some of the free places for each processor, so the child runs on each one that it may use, until all that there
 * can be are found. The child shares the program's memory, and so its contexts. It has its own descriptors and processor affinity.
 */

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

#include "resident.h"

#define AT_ONCE 64	/* requests in one call */
#define WAIT_BOUND 10000 /* ms: the kernel may leave the completion to one of its threads */

/* struct aio_ring in fs/aio.c. A process may itself take events, by writing to head. */
struct ring {
	unsigned id, count, head, tail, magic, compatible, incompatible, header;
	struct io_event events[];
};

struct filling {
	struct ring *ring;
	unsigned count; /* events that the ring has room for */
	long want, processors;
	long taken;
};

/* Used by the initiator's child. There is one initiator at a time. */
static char stack[3072] __attribute__((aligned(16)));
static struct iocb request;

static void fill(struct filling *f)
{
	struct iocb *same[AT_ONCE];
	long n;

	for (int i = 0; i < AT_ONCE; i++)
		same[i] = &request;
	do {
		n = SYSCALL_3(SYS_io_submit, f->ring, AT_ONCE, same);
		f->taken += n > 0 ? n : 0;
	} while (n == AT_ONCE && f->taken < f->want);
}

static void fill_everywhere(struct filling *f)
{
	fill(f);
	for (long i = 0; i < f->processors && f->taken < f->want; i++) {
		unsigned char one[ABI_PROCESSORS_MAX / 8];

		for (unsigned j = 0; j < sizeof(one); j++)
			((volatile unsigned char *)one)[j] = j == i / 8 ? 1 << i % 8 : 0;
		if (SYSCALL_3(SYS_sched_setaffinity, 0, sizeof(one), one) == 0)
			fill(f);
	}
}

static int is_filling(const struct io_event *event)
{
	return event->obj == (uint64_t)&request;
}

static long ours(const struct filling *f)
{
	unsigned tail = load(&f->ring->tail) % f->count;
	long n = 0;

	for (unsigned i = f->ring->head % f->count; i != tail; i = (i + 1) % f->count)
		n += is_filling(&f->ring->events[i]);
	return n;
}

/* Moves the events of others to the end of the ring, and takes the rest. The kernel only appends. */
static void take_ours(const struct filling *f)
{
	unsigned head = f->ring->head % f->count, tail = load(&f->ring->tail) % f->count, to = tail;

	for (unsigned from = tail; from != head;) {
		from = (from + f->count - 1) % f->count;
		if (is_filling(&f->ring->events[from]))
			continue;
		to = (to + f->count - 1) % f->count;
		f->ring->events[to] = f->ring->events[from];
	}
	store(&f->ring->head, to);
}

static int count(void *argument)
{
	struct filling *f = argument;
	uint64_t one = 1;
	long fd, until;

	SYSCALL_3(SYS_close_range, 0, ~0u, 0); /* eventfd2 needs a free descriptor */
	fd = SYSCALL_2(SYS_eventfd2, 0, 0);
	if (fd < 0)
		return 0;
	request = (struct iocb){ .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd, .aio_buf = POLLIN };
	f->taken = 0;
	fill_everywhere(f);
	SYSCALL_3(SYS_write, fd, &one, sizeof(one));
	until = milliseconds() + WAIT_BOUND;
	while (ours(f) < f->taken && milliseconds() < until)
		SYSCALL_3(SYS_poll, NULL, 0, 1); /* no event tells when a thread of the kernel is done */
	take_ours(f);
	return 0;
}

/*
 * Returns how many more requests the context takes, or -errno. A context that takes none may be of another process, or may not
 * exist. `ring` is its ID, and the address of a ring of `count` events, which can be read and written. `want` is the most that it
 * can take.
 */
long aio_room(uint64_t ring, uint64_t places, uint64_t want, uint64_t processors)
{
	struct filling f = { (struct ring *)ring, places, want, processors, -EAGAIN };
	int *place = spawn_place();
	long pid;

	if (!place)
		return -EAGAIN;
	pid = crak_clone_vm(CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | ABI_EXIT_SIGNAL, stack + sizeof(stack), count, &f, place,
			    NULL);
	if (pid < 0) {
		store(place, 0);
		return pid;
	}
	spawn_await(pid);
	return f.taken;
}
