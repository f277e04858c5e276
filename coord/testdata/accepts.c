/* A connection to the program itself, with data that nobody has accepted. At SIGUSR1 the program computes for 50 ms of CPU time, and then
 * accepts it. The main thread copies the input to the output. */
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

int main(void)
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
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
