/* A connection to the program itself, with data that nobody has accepted. At SIGUSR1 the program computes for 50 ms of CPU time, and then
 * accepts it. With an argument the connecting end is closed, and an end of a pipe comes with the data, of which the program
 * has the other end. The main thread copies the input to the output. */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int listening;

static double used(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void work(int signal)
{
	double end = used() + 0.05;

	(void)signal;
	while (used() < end)
		;
	accept(listening, NULL, NULL);
}

/* Sends an end of a pipe over a connection, and closes both. */
static int give_away(int connection)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec data = {.iov_base = "y", .iov_len = 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	int ends[2];

	if (pipe(ends))
		return -1;
	memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
	return sendmsg(connection, &message, 0) == 1 ? close(ends[1]) | close(connection) : -1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	struct sigaction action = {.sa_handler = work, .sa_flags = SA_RESTART};
	socklen_t length = sizeof any;
	int connection;
	char c;

	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listening, (void *)&any, offsetof(struct sockaddr_un, sun_path)) || listen(listening, 1) ||
	    getsockname(listening, (void *)&any, &length))
		return 1;
	connection = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(connection, (void *)&any, length) || write(connection, "x", 1) != 1 || sigaction(SIGUSR1, &action, NULL))
		return 1;
	(void)argv;
	if (argc > 1 && give_away(connection))
		return 1;
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
