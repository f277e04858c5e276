/* The resident's constructor, which runs when the program starts. */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "resident.h"

struct resident resident;

/* pthread_atfork(3) is not in libc.so; it calls this function. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);

static void remember(const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);
	char *p = resident.settings + resident.settings_length;

	if (resident.settings_length + n + v + 2 > sizeof(resident.settings))
		return;
	memcpy(p, name, n);
	p[n] = '=';
	memcpy(p + n + 1, value, v + 1);
	resident.settings_length += n + v + 2;
}

static void remember_settings(const char *directory)
{
	static const char *const names[] = { "CRAK_DIR",    "CRAK_LOG",  "CRAK_COMPRESS",     "CRAK_SELF_CONTAINED",
					     "CRAK_SIGNAL", "CRAK_TWIN", "CRAK_FREEZE_LIMIT",  "CRAK_GROUP",
					     "CRAK_WITH_FILES" };

	remember("CRAK_START_DIR", directory);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);

		if (value)
			remember(names[i], value);
	}
}

/* Appends `to` to `path`, or replaces it if `to` is absolute. If the result is too long, `path` stays unchanged. */
static void descend(char *path, const char *to)
{
	size_t length = *to == '/' ? 0 : strlen(path);

	if (length + strlen(to) + 2 > sizeof(resident.log))
		return;
	if (length)
		path[length++] = '/';
	strcpy(path + length, to);
}

/* The log is CRAK_LOG, or crak.log in the images' directory. Package coord has the same rule. */
static void find_log(const char *directory)
{
	const char *images = getenv("CRAK_DIR"), *log = getenv("CRAK_LOG");

	strcpy(resident.log, directory);
	if (log && *log) {
		descend(resident.log, log);
		return;
	}
	if (images && *images)
		descend(resident.log, images);
	descend(resident.log, "crak.log");
}

/* Creates CRAK_DIR now, but not its parents. If a checkpoint does not find the directory, somebody has removed it since. */
static void make_directory(void)
{
	const char *images = getenv("CRAK_DIR");

	if (images && *images)
		SYSCALL_3(SYS_mkdirat, AT_FDCWD, images, 0700);
}

/* Finds the absolute path from which libcrak.so was loaded. */
static void find_library(const char *directory)
{
	Dl_info info;
	size_t length = 0;

	if (!dladdr(&resident, &info) || !info.dli_fname)
		return;
	if (info.dli_fname[0] != '/') {
		length = strlen(directory);
		if (length + 1 >= sizeof(resident.library))
			return;
		memcpy(resident.library, directory, length);
		resident.library[length++] = '/';
	}
	if (length + strlen(info.dli_fname) >= sizeof(resident.library)) {
		resident.library[0] = 0;
		return;
	}
	strcpy(resident.library + length, info.dli_fname);
}

static int is_taken(int number)
{
	return number == 32 || number == ABI_FREEZE_SIGNAL || number == SIGKILL || number == SIGSTOP;
}

/*
 * Returns the signal that CRAK_SIGNAL names: a number, or a name with or without SIG; 0 for "none". If the value is invalid, the
 * signal is SIGUSR2, because the constructor cannot report the mistake. Otherwise kill -USR2, which the user takes for a
 * request, would kill the program.
 */
static int trigger_signal(void)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {
		{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "HUP", SIGHUP },	 { "QUIT", SIGQUIT },
		{ "ALRM", SIGALRM }, { "TERM", SIGTERM }, { "URG", SIGURG },	 { "IO", SIGIO },
		{ "PWR", SIGPWR },   { "XCPU", SIGXCPU }, { "WINCH", SIGWINCH }, { "VTALRM", SIGVTALRM },
	};
	const char *name = getenv("CRAK_SIGNAL");
	int number;

	if (!name || !*name)
		return SIGUSR2;
	number = atoi(name);
	if (number > 0 && number <= 64 && !is_taken(number))
		return number;
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	number = SIGRTMIN + (strncmp(name, "RTMIN+", 6) == 0 ? atoi(name + 6) : 0);
	if (strcmp(name, "RTMIN") == 0 || (strncmp(name, "RTMIN+", 6) == 0 && number <= 64 && !is_taken(number)))
		return number;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (strcmp(name, signals[i].name) == 0)
			return signals[i].number;
	return strcmp(name, "none") ? SIGUSR2 : 0;
}

/* Returns CRAK_FREEZE_LIMIT, which is in seconds, in milliseconds. */
static int freeze_limit(void)
{
	const char *text = getenv("CRAK_FREEZE_LIMIT");
	int seconds = text ? atoi(text) : 0;

	return 1000 * (seconds > 0 && seconds <= 86400 ? seconds : 30);
}

/* Runs in each child that the program forks. */
static void forked(void)
{
	holds_forked();
	descriptors_forked();
	freeze_signal_forked();
}

static void __attribute__((constructor)) become_resident(void)
{
	char directory[4096];
	int trigger;

	SYSCALL_3(SYS_madvise, &own, sizeof(own), MADV_WIPEONFORK);
	own.pid = SYSCALL_0(SYS_getpid);
	resident.user = SYSCALL_0(SYS_geteuid);
	resident.group = SYSCALL_0(SYS_getegid);
	if (!getcwd(directory, sizeof(directory)))
		strcpy(directory, "/");
	find_library(directory);
	remember_settings(directory);
	make_directory();
	find_log(directory);
	resident.freeze_limit = freeze_limit();
	__register_atfork(NULL, NULL, forked, NULL);
	install_freeze_handler();
	trigger = trigger_signal();
	if (trigger)
		install_trigger(trigger);
}
