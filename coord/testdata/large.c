/*
 * large MIB: a program without libcrak.so. /proc/PID/environ and /proc/PID/cmdline show MIB mebibytes of zeroes. It copies its input
 * to its output.
 */
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long length = argc == 2 ? strtoul(argv[1], 0, 10) << 20 : 0, field[52];
	char *zeroes = mmap(0, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), text[4096], c;
	FILE *f = fopen("/proc/self/stat", "r");

	if (zeroes == MAP_FAILED || !f || !fgets(text, sizeof text, f))
		return 2;
	char *next = strrchr(text, ')') + 3; /* behind the comm comes the state, field 3 of proc_pid_stat(5) */
	for (int i = 4; i <= 51; i++)
		field[i] = strtoul(next = strchr(next, ' ') + 1, 0, 10);
	struct prctl_mm_map map = {
		.start_code = field[26], .end_code = field[27], .start_stack = field[28], .start_data = field[45], .end_data = field[46],
		.start_brk = field[47], .brk = (unsigned long)sbrk(0), .exe_fd = -1,
		.arg_start = (unsigned long)zeroes, .arg_end = (unsigned long)zeroes + length,
		.env_start = (unsigned long)zeroes, .env_end = (unsigned long)zeroes + length,
	};
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0)) {
		perror("PR_SET_MM_MAP");
		return 2;
	}
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
