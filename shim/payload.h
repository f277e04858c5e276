/* Where the writer lies in libcrak.so: a section of this type, unknown to every other tool, so aligned. */
#ifndef CRAK_PAYLOAD_H
#define CRAK_PAYLOAD_H

#define PAYLOAD_TYPE 0x8372616b
#define PAYLOAD_ALIGN 4096

#endif
