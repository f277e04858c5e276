/*
 * The layout that the interpreter shares with package restore/program. The same structures
 * in Go are in ../program/wire.go. Both sides assert the sizes.
 *
 * Wire. Go starts the interpreter with one argument, the number of a control socket
 * (seqpacket). Go reads the interpreter's mappings, chooses the area, and sends one
 * interp_order. The interpreter maps the area, copies its code to the start of the
 * area, reads the load (from a file that Go has written) to order.load, and runs programs[0]:
 *
 *	area  code | load: interp_load, interp_program[], interp_instruction[] |
 *	      data | results: int64[] | stacks | staging area: room for vdso and vvar
 *
 * Data and results are a shared mapping of the file, so a counter in the data is one for all processes, and for Go. The
 * rest is private.
 *
 * All addresses in the load are absolute. A program runs from its first instruction
 * to a JUMP, or to a system call that does not return. An argument whose bit is set
 * in `from` is the index of a result. The interpreter reports an unexpected result on
 * the control socket, which all processes share, and ends the process.
 */
#ifndef CRAK_INTERP_H
#define CRAK_INTERP_H

#define INTERP_MAGIC 0x50455243 /* "CREP" */
#define INTERP_VERSION 4

struct interp_order {
	unsigned long long area;
	unsigned long long area_length;
	unsigned long long load; /* address */
	unsigned long long load_length; /* bytes in the file; the data follows at the next page */
	unsigned long long shared; /* start and end of data and results */
	unsigned long long shared_end;
	int file;
	int pad;
};
#define INTERP_ORDER_SIZE 56

struct interp_load {
	unsigned int magic;
	unsigned int version;
	unsigned long long programs; /* struct interp_program[] */
	unsigned long long results; /* long long[] */
	unsigned long long stack; /* top, for programs[0] and the processes it makes */
	unsigned long long decision; /* counter: 1 when crak has told the group to go; 0: there is none */
	int control;                 /* descriptor of the socket on which all processes report */
	int pad;
};
#define INTERP_LOAD_SIZE 48

struct interp_program {
	unsigned long long instructions;
	unsigned int count;
	unsigned int stopped_count;
	unsigned long long stopped; /* int[]: PIDs of children that are stopped when the process is ready */
};
#define INTERP_PROGRAM_SIZE 24

enum interp_op {
	INTERP_CALL = 0,    /* system call `number` */
	INTERP_THREAD = 1,  /* program, tid, flags, tls, tid address, stack top: result is the tid */
	INTERP_PROCESS = 2, /* program, pid, flags, exit signal: result is the pid */
	INTERP_ARRIVE = 3,  /* address of a counter, total: adds one, wakes those who await the total */
	INTERP_AWAIT = 4,   /* address of a counter, total, limit in 100 ms or 0: waits until it equals the total */
	INTERP_JUMP = 5,    /* struct abi_context, struct abi_restart: leaves the interpreter for the program's code */
	INTERP_LOAD = 6,    /* address: the result is the eight bytes there */
};

enum interp_expect {
	INTERP_EXPECT_OK = 0,    /* any result but -4095..-1 */
	INTERP_EXPECT_VALUE = 1, /* `want` */
	INTERP_EXPECT_ANY = 2,
	INTERP_EXPECT_NOTICE = 3, /* an error is reported, and the program goes on */
};

struct interp_instruction {
	unsigned int number;
	unsigned short op;
	unsigned short expect;
	unsigned int from;
	int slot; /* of the result; -1: none */
	long long want;
	unsigned long long args[6];
};
#define INTERP_INSTRUCTION_SIZE 72

enum interp_report_kind {
	INTERP_FAILED = 1, /* the process has ended */
	INTERP_NOTICE = 2,
	INTERP_STAGE = 3,  /* sent by programs themselves; result: the stage */
};

struct interp_report {
	unsigned int kind;
	int tid;
	unsigned int program;
	unsigned int instruction;
	long long result;
};
#define INTERP_REPORT_SIZE 24

/* Stages of interp_report.instruction before any program runs. */
enum interp_boot {
	INTERP_BOOT_ORDER = 0,
	INTERP_BOOT_MAP = 1,
	INTERP_BOOT_READ = 2,
	INTERP_BOOT_PROTECT = 3,
	INTERP_BOOT_LOAD = 4,
};
#define INTERP_BOOT_PROGRAM 0xffffffffu

#ifndef INTERP_HEADER_ONLY
#include "sys.h"

_Noreturn void interp_fail(int control, unsigned program, unsigned instruction, long result);
void interp_report(int control, unsigned kind, unsigned program, unsigned instruction, long result);
_Noreturn void interp_run(const struct interp_load *load, unsigned number);

/* entry_amd64.S. interp_thread returns in the caller only: the child runs interp_run(load, number). */
long interp_thread(const void *clone_args, long size, const struct interp_load *load, unsigned number);
_Noreturn void interp_jump(const void *context, const void *restart);
_Noreturn void interp_enter(void *entry, const struct interp_load *load, unsigned long long stack);
extern const char interp_text_start[] __attribute__((visibility("hidden")));
extern const char interp_text_end[] __attribute__((visibility("hidden")));
extern char interp_main[] __attribute__((visibility("hidden")));
#endif

_Static_assert(sizeof(struct interp_order) == INTERP_ORDER_SIZE, "order");
_Static_assert(sizeof(struct interp_load) == INTERP_LOAD_SIZE, "load");
_Static_assert(sizeof(struct interp_program) == INTERP_PROGRAM_SIZE, "program");
_Static_assert(sizeof(struct interp_instruction) == INTERP_INSTRUCTION_SIZE, "instruction");
_Static_assert(sizeof(struct interp_report) == INTERP_REPORT_SIZE, "report");

#endif
