/* Does again and again what the resident's handler of an order does: it blocks all signals, and has a socket for a moment. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void mask(uint64_t signals)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &signals, 0, sizeof signals);
}

int main(void)
{
	if (write(1, "!", 1) != 1)
		return 1;
	for (;;) {
		mask(~(uint64_t)0);
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		usleep(500); /* an order takes about as long */
		close(fd);
		mask(0);
		usleep(10000); /* as between two orders */
	}
}
