/* Mappings of 1 GiB each that the kernel has merged into one, which is larger than the machine's memory. */
#include "check.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#define PIECE (1ul << 30)
#define BASE ((char *)0x200000000000)

int main(void)
{
	struct sysinfo info;
	size_t count;

	CHECK(sysinfo(&info) == 0);
	count = (info.totalram + info.totalswap) * info.mem_unit / PIECE + 3;
	for (size_t i = 0; i < count; i++) {
		char *piece = mmap(BASE + i * PIECE, PIECE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		CHECK(piece == BASE + i * PIECE);
		piece[i * 4096] = i + 1;
	}
	ready();
	await_go();
	for (size_t i = 0; i < count; i++)
		EQUAL(BASE[i * PIECE + i * 4096], (char)(i + 1));
	pass();
}
