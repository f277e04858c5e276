/*
 * Names, IDs, directories, limits and attributes of the process, noted before the checkpoint and compared after it. Arguments
 * set attributes that not every run should have.
 */
#include "check.h"

#include <signal.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif

extern char **environ;

/* The noted values, as lines of text. */
struct notes {
	char text[1 << 16];
	size_t length;
};

__attribute__((format(printf, 2, 3))) static void note(struct notes *n, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	n->length += vsnprintf(n->text + n->length, sizeof n->text - n->length, format, args);
	va_end(args);
	CHECK(n->length < sizeof n->text);
	n->text[n->length++] = '\n';
	n->text[n->length] = 0;
}

static void note_link(struct notes *n, const char *path)
{
	char target[512];
	ssize_t length = readlink(path, target, sizeof target - 1);

	if (length < 0)
		return; /* not dumpable: the file belongs to root */
	target[length] = 0;
	note(n, "%s -> %s", path, target);
}

static void note_file(struct notes *n, const char *path)
{
	char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return;
	length = read(fd, text, sizeof text - 1);
	close(fd);
	if (length < 0)
		return;
	for (ssize_t i = 0; i < length; i++)
		if (!text[i])
			text[i] = '|';
	text[length] = 0;
	note(n, "%s: %ld %s", path, (long)length, text);
}

static void note_limits(struct notes *n)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit;
		CHECK(getrlimit(i, &limit) == 0);
		note(n, "limit %d: %llu %llu", i, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
	}
}

static void note_switches(struct notes *n)
{
	int signal = -1, subreaper = -1;

	CHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0);
	note(n, "pdeathsig %d subreaper %d", signal, subreaper);
	note(n, "dumpable %d no_new_privs %d", prctl(PR_GET_DUMPABLE), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	note(n, "thp_disable %d mdwe %d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), prctl(PR_GET_MDWE, 0, 0, 0, 0));
	note(n, "keepcaps %d timerslack %d", prctl(PR_GET_KEEPCAPS), prctl(PR_GET_TIMERSLACK));
	note(n, "personality %#x", personality(0xffffffff));
	note(n, "nice %d", getpriority(PRIO_PROCESS, 0));
}

static void take(struct notes *n)
{
	char cwd[512], name[17] = "";
	mode_t mask = umask(0);

	umask(mask);
	n->length = 0;
	CHECK(getcwd(cwd, sizeof cwd));
	CHECK(prctl(PR_GET_NAME, name) == 0);
	note(n, "pid %d tid %ld name %s cwd %s umask %o", getpid(), syscall(SYS_gettid), name, cwd, mask);
	note(n, "uid %d %d gid %d %d", getuid(), geteuid(), getgid(), getegid());
	note_limits(n);
	note_switches(n);
	note_link(n, "/proc/self/exe");
	note_link(n, "/proc/self/cwd");
	note_link(n, "/proc/self/root");
	note_file(n, "/proc/self/cmdline");
	note_file(n, "/proc/self/environ");
	note_file(n, "/proc/self/comm");
	note_file(n, "/proc/self/oom_score_adj");
	note_file(n, "/proc/self/coredump_filter");
	for (unsigned long type = 1; type < 64; type++)
		note(n, "auxv %lu: %#lx", type, getauxval(type));
	note(n, "HOME %s WORKLOAD %s", getenv("HOME"), getenv("WORKLOAD"));
}

static void set_limit(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit limit = {soft, hard};
	CHECK(setrlimit(resource, &limit) == 0);
}

static void settle(int argc, char **argv)
{
	CHECK(mkdir("elsewhere", 0700) == 0 && chdir("elsewhere") == 0);
	umask(0157);
	set_limit(RLIMIT_NOFILE, 200, 300);
	set_limit(RLIMIT_CORE, 0, 0);
	set_limit(RLIMIT_STACK, 4 << 20, RLIM_INFINITY);
	set_limit(RLIMIT_CPU, 5000, 6000);
	CHECK(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 5) == 0);
	CHECK(prctl(PR_SET_NAME, "some other name") == 0);
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_TIMERSLACK, 77777) == 0);
	CHECK(setenv("WORKLOAD", "set by the program itself", 1) == 0);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "pdeathsig"))
			CHECK(prctl(PR_SET_PDEATHSIG, SIGWINCH) == 0);
		if (!strcmp(argv[i], "no_new_privs"))
			CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		if (!strcmp(argv[i], "personality"))
			CHECK(personality(ADDR_NO_RANDOMIZE | SHORT_INODE) >= 0);
		if (!strcmp(argv[i], "undumpable"))
			CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
		if (!strcmp(argv[i], "mdwe"))
			CHECK(prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0);
	}
}

/* write_file writes one of the files of /proc/self that may be written. */
static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

int main(int argc, char **argv)
{
	static struct notes before, after;

	write_file("/proc/self/oom_score_adj", "321");
	write_file("/proc/self/coredump_filter", "0x13");
	settle(argc, argv);
	/* As setproctitle does. */
	if (argc > 1)
		memset(argv[argc - 1], 'x', strlen(argv[argc - 1]));
	memset(environ[0], 'y', 3);
	take(&before);
	ready();
	await_file("../go");
	take(&after);
	for (char *a = before.text, *b = after.text; *a || *b;) {
		char *a_end = strchrnul(a, '\n'), *b_end = strchrnul(b, '\n');
		if (a_end - a != b_end - b || memcmp(a, b, a_end - a))
			fail("it was `%.*s`, and is `%.*s`", (int)(a_end - a), a, (int)(b_end - b), b);
		a = a_end + !!*a_end, b = b_end + !!*b_end;
	}
	pass();
}
