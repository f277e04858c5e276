/* Definitions that repeat_amd64.S and repeat_amd64.c share. */
#ifndef CRAK_REPEAT_AMD64_H
#define CRAK_REPEAT_AMD64_H

#define REPEAT_PAGES 4
#define REPEAT_STUB 16	  /* bytes of code for each record */
#define REPEAT_PER_PAGE 256 /* in place of its first stub, each page has the distance to its records */
#define REPEAT_RECORD 128 /* bytes */
#define REPEAT_COUNT (REPEAT_PAGES * REPEAT_PER_PAGE)

/* Offsets in struct repeat. */
#define REPEAT_IP 0
#define REPEAT_RDI 8
#define REPEAT_RSI 16
#define REPEAT_RDX 24
#define REPEAT_R10 32
#define REPEAT_R8 40
#define REPEAT_R9 48
#define REPEAT_LEFT 56
#define REPEAT_BACK 72
#define REPEAT_OWNER 80

#endif
