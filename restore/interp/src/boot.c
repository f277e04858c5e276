/*
 * From exec to the area. The executable and the stack that the kernel mapped stay
 * until a program unmaps them.
 */
#define _GNU_SOURCE
#include <linux/signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "interp.h"

static int number(const char *text)
{
	int n = 0;
	while (*text >= '0' && *text <= '9')
		n = 10 * n + (*text++ - '0');
	return n;
}

static void copy(unsigned long long to, const char *from, unsigned long length)
{
	char *out = (char *)to;
	/* volatile: the compiler must not turn the loop into a call of memcpy. */
	for (unsigned long i = 0; i < length; i++)
		((volatile char *)out)[i] = from[i];
}

static long read_load(const struct interp_order *order)
{
	unsigned long long done = 0;
	while (done < order->load_length) {
		long n = sys(SYS_pread64, order->file, order->load + done, order->load_length - done, done);
		if (failed(n))
			return n;
		if (n == 0)
			return -5; /* EIO: the file is shorter than the order says */
		done += n;
	}
	return 0;
}

static void map(int control, unsigned long long at, unsigned long long length, unsigned flags, unsigned long long file,
		unsigned long long offset)
{
	unsigned long long args[6] = { at, length, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, file, offset };
	long n = interp_call(args, SYS_mmap);
	if ((unsigned long long)n != at)
		interp_fail(control, INTERP_BOOT_PROGRAM, INTERP_BOOT_MAP, n);
}

/* The C entry, on the stack that the kernel made. */
__attribute__((visibility("hidden"))) _Noreturn void interp_boot(long argc, char **argv)
{
	if (argc < 2)
		sys(SYS_exit_group, 2, 0, 0, 0);
	int control = number(argv[1]);

	unsigned long long all = ~0ull;
	sys(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, address(&all), 0, sizeof all);

	interp_report(control, INTERP_STAGE, INTERP_BOOT_PROGRAM, 0, 0); /* Go reads our mappings now: they are complete */

	struct interp_order order;
	long n = sys(SYS_read, control, address(&order), sizeof order, 0);
	if (n != sizeof order)
		interp_fail(control, INTERP_BOOT_PROGRAM, INTERP_BOOT_ORDER, n);

	map(control, order.area, order.area_length, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0);
	map(control, order.shared, order.shared_end - order.shared, MAP_SHARED | MAP_FIXED, order.file,
	    order.shared - order.load);
	unsigned long text = interp_text_end - interp_text_start;
	copy(order.area, interp_text_start, text);
	n = read_load(&order);
	if (n < 0)
		interp_fail(control, INTERP_BOOT_PROGRAM, INTERP_BOOT_READ, n);
	n = sys(SYS_mprotect, order.area, order.load - order.area, PROT_READ | PROT_EXEC, 0);
	if (n < 0)
		interp_fail(control, INTERP_BOOT_PROGRAM, INTERP_BOOT_PROTECT, n);

	const struct interp_load *load = (const struct interp_load *)order.load;
	if (load->magic != INTERP_MAGIC || load->version != INTERP_VERSION)
		interp_fail(control, INTERP_BOOT_PROGRAM, INTERP_BOOT_LOAD, load->version);
	unsigned long offset = (const char *)interp_run - interp_text_start;
	interp_enter((void *)(order.area + offset), load, load->stack);
}
