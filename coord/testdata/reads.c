/* reads MIB maps a memfd that has no pages, and may only be read through the mapping. reads MIB PATH maps a file without data, which it
 * removes. Then it copies its input to its output. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	int fd = argc > 2 ? open(argv[2], O_RDWR | O_CREAT, 0600) : memfd_create("reads", 0), reader = fd, prot = PROT_READ | PROT_WRITE;
	char path[40], line[100];
	ssize_t got;

	if (argc > 2) {
		unlink(argv[2]);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		reader = open(path, O_RDONLY);
		prot = PROT_READ;
	}
	if (fd < 0 || reader < 0 || ftruncate(fd, size) || mmap(NULL, size, prot, MAP_SHARED, reader, 0) == MAP_FAILED)
		return 1;
	close(fd);
	close(reader);
	while ((got = read(0, line, sizeof(line))) > 0)
		if (write(1, line, got) != got)
			return 1;
	return got != 0;
}
