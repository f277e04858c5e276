/* The writer, a static program as the Go linker made it, page-aligned as its segments
 * want to be mapped. The section is not allocated: in a preloaded program it takes no memory and no addresses. */

#include "payload.h"

	.section .crak.writer, "", @PAYLOAD_TYPE
	.balign	PAYLOAD_ALIGN
	.incbin	PAYLOAD_FILE

	.section .note.GNU-stack, "", @progbits
