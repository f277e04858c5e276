/* The ELF notes by which the writer finds libcrak.so, and a record of it, in a program's memory (ABI_NOTE_NAME). */

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

/* The note ABI_NOTE_ADMISSION. C has no constant for the distance between two objects. */
#define TEXT(macro) #macro
#define VALUE(macro) TEXT(macro)
__asm__(".pushsection .note.crak, \"a\", @note\n\t"
	".balign 4\n\t"
	".long 5, 4, " VALUE(ABI_NOTE_ADMISSION) "\n\t"
	".asciz \"" ABI_NOTE_NAME "\"\n\t"
	".balign 4\n\t"
	".hidden own\n\t"
	".long own + 8 - .\n\t" /* own.admission */
	".popsection");
