/* The ELF note by which the writer finds libcrak.so in a program's memory (ABI_NOTE_NAME). */

#include <elf.h>

#include "resident.h"

static const struct {
	Elf64_Nhdr header;
	char name[8];
	unsigned version;
} note __attribute__((section(".note.crak"), aligned(4), used)) = {
	{ sizeof(ABI_NOTE_NAME), sizeof(unsigned), ABI_NOTE_TYPE },
	ABI_NOTE_NAME,
	ABI_VERSION,
};
