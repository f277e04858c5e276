/*
 * What C and Go share: the wire between a resident and the writer, the record
 * of a parked thread, and the door by which a restored thread comes back.
 * The Go mirror is abi.go; sizes are asserted on both sides.
 *
 * Wire. A stream socket (abstract AF_UNIX); every message is a struct
 * abi_message and then `length` bytes. The resident speaks first: CHALLENGE, and
 * after the right PROOF HELLO, which ends a query, and FROZEN or FAILED. Afterwards it only
 * answers. The end of the stream at any time means: resume as if nothing had been
 * asked. A frozen resident that gets no whole message for hello.limit resumes, too, and ends the stream.
 *
 *	resident                    writer
 *	CHALLENGE abi_challenge ->           where in its memory a secret is
 *	                      <-    PROOF    the secret: who can read it may trace the process
 *	HELLO   abi_hello     ->             then settings: "NAME=value\0" each
 *	FROZEN  abi_thread[n] ->             every thread is parked
 *	FAILED  abi_failure   ->             nothing is frozen any more
 *	                      <-    CALLS    abi_call[count], then data
 *	RESULTS int64[count], data ->        data: the same bytes, as the calls left them
 *	                      <-    PROGRESS the writer is still reading; there is no answer
 *	                      <-    SNAPSHOT
 *	RESULTS int64[1]      ->             PID of the twin, and everyone goes on; or -errno
 *	                      <-    RESUME   where there is no twin
 */
#ifndef CRAK_ABI_H
#define CRAK_ABI_H

#define ABI_VERSION 2
#define ABI_MAGIC 0x4b415243 /* "CRAK" */

/* The freeze signal: one of the two that glibc keeps out of every mask. */
#define ABI_FREEZE_SIGNAL 33

/* Kinds of order in siginfo.si_errno of a queued freeze signal. */
#define ABI_ORDER_QUERY 0x43524600  /* value: name of the writer's socket; say HELLO and go on */
#define ABI_ORDER_FREEZE 0x43524601 /* value: name of the writer's socket */
#define ABI_ORDER_PARK 0x43524602   /* value: number of this freeze; from the initiator only */
/* With each order goes the system call that the thread was seen asleep in, or -1, the low half of its instruction pointer
 * then, and a sum of its arguments: an int and three unsigned ints behind si_value, in bytes that the kernel passes on. (It
 * puts others into si_pid and si_uid where the sender is in another namespace.) */
#define ABI_ORDER_BLOCKED 8 /* index of the int, in ints */
#define ABI_ORDER_IP 9
#define ABI_ORDER_ARGUMENTS 10 /* low half, high half */

/* The sum begins with 0, and goes on with each argument: (sum ^ argument) * ABI_SUM, in 64 bits. */
#define ABI_SUM 0x100000001b3

/* libcrak.so is known by an ELF note (elf(5)) of this name in its first page, also where it was restored as
 * memory without a file. Of an older one the file's name has to do. */
#define ABI_NOTE_NAME "CRAK"
#define ABI_NOTE_TYPE 1 /* descriptor: unsigned int ABI_VERSION */

/* The abstract socket's name is "crak." and 16 lower-case hex digits. */
#define ABI_SOCKET_PREFIX "crak."

enum abi_message_type {
	ABI_HELLO = 1,
	ABI_FROZEN = 2,
	ABI_FAILED = 3,
	ABI_CALLS = 4,
	ABI_RESULTS = 5,
	ABI_SNAPSHOT = 6,
	ABI_RESUME = 7,
	ABI_CHALLENGE = 8,
	ABI_PROOF = 9,
	ABI_PROGRESS = 10,
};

struct abi_message {
	unsigned int type;
	unsigned int count; /* elements of the message's array */
	unsigned long long length; /* bytes that follow */
};
#define ABI_MESSAGE_SIZE 16

/* CPU time that was used, and its part in user mode and in the kernel. */
struct abi_cpu_time {
	long long total_ns;
	long long user_us;
	long long system_us;
};
#define ABI_CPU_TIME_SIZE 24

/*
 * What the process and its threads had used before they were last restarted: the kernel counts from 0 again. It lies in
 * the resident's memory, a restart writes it. A forked child finds zeroes.
 */
struct abi_cpu {
	struct abi_cpu_time process;
	struct abi_cpu_time children; /* those waited for; total_ns is unused */
	unsigned long long threads; /* entries of the table */
};
#define ABI_CPU_SIZE 56

/* An entry of the table, which is sorted by tid. */
struct abi_cpu_thread {
	int tid;
	int pad;
	struct abi_cpu_time used;
};
#define ABI_CPU_THREAD_SIZE 32
#define ABI_CPU_THREADS_MAX 4096
#define ABI_SECRET_SIZE 16 /* bytes, random, of this process only */

/* The address is told as a distance: who may not read the process shall not learn where its memory is. */
struct abi_challenge {
	unsigned int magic;
	unsigned int version;
	unsigned long long secret; /* bytes from the start of libcrak.so in memory (its ELF header) */
};
#define ABI_CHALLENGE_SIZE 16

struct abi_hello {
	unsigned int magic;
	unsigned int version;
	int pid; /* in the resident's own PID namespace */
	int tid; /* the initiator */
	int dumpable; /* before the freeze; 1 while frozen, so that the writer may read */
	int holds; /* depth of crak_hold: a freeze waits for crak_release */
	int socket; /* the resident's own descriptor of this connection */
	int trigger; /* the signal that asks for a checkpoint; 0: none, or the program has it for itself */
	unsigned long long restarts; /* how often this process was restarted */
	int limit; /* milliseconds: how long a freeze lasts without a message */
	int pad;
	unsigned long long cpu; /* address of its struct abi_cpu */
	unsigned long long cpu_threads; /* address of that one's table */
	unsigned long long cpu_clock; /* address of the code that clock_gettime is to call for clocks of CPU time */
	struct abi_cpu_time used; /* as struct abi_cpu has it */
	struct abi_cpu_time children_used;
};
#define ABI_HELLO_SIZE 120

enum abi_failure_code {
	ABI_FAILED_PARK = 1, /* tid did not park within the bound */
	ABI_FAILED_TASKS = 2, /* /proc/self/task cannot be read: detail is errno */
	ABI_FAILED_SIGNAL = 3, /* tid cannot be signalled: detail is errno */
};

struct abi_failure {
	int code;
	int tid;
	int detail;
	int line;
};
#define ABI_FAILURE_SIZE 16

#define ABI_THREAD_INITIATOR 1u /* ran the freeze; not always the thread group leader */
#define ABI_THREAD_DEAD 2u   /* an exited thread group leader: a zombie, tid alone is valid */
#define ABI_THREAD_RSEQ 4u   /* has an rseq area that is not glibc's: only a tracer can tell where */

/* A parked thread. Addresses are the process's own. */
struct abi_thread {
	int tid;
	unsigned int flags;
	unsigned long long context; /* struct abi_context on its stack */
	unsigned long long frame; /* struct ucontext of the freeze signal */
	unsigned long long fs_base;
	unsigned long long gs_base;
	unsigned long long tid_address; /* clear_child_tid; 0: none */
	unsigned long long robust_list;
	unsigned long long robust_length;
	unsigned long long rseq; /* 0: none */
	unsigned int rseq_length;
	unsigned int rseq_signature;
	unsigned long long altstack;
	unsigned long long altstack_size;
	unsigned int altstack_flags;
	int death_signal; /* PR_GET_PDEATHSIG */
	unsigned long long timer_slack; /* ns */
	unsigned long long mask; /* blocked signals while it ran */
	unsigned long long ip; /* where it will go on */
	unsigned long long sp;
	long long syscall; /* the call that it will make again, or -1 */
	int policy; /* of NUMA memory, and its mode flags (set_mempolicy(2)); 0: default */
	int pad;
	unsigned long long nodes[4]; /* of that policy */
	struct abi_cpu_time cpu; /* over all restarts */
};
#define ABI_THREAD_SIZE 208

/* One system call for the initiator to make. Arguments whose bit is set in
 * `relative` are offsets into the message's data. */
struct abi_call {
	unsigned int number;
	unsigned int relative;
	unsigned long long args[6];
};
#define ABI_CALL_SIZE 56
#define ABI_CALLS_MAX 512    /* calls in one message */
#define ABI_DATA_MAX 32768   /* bytes of data in one message */

/*
 * The callee-saved registers of a parked thread, amd64. The interpreter makes
 * the thread anew, loads these, puts the address of a struct abi_restart into
 * rax and jumps to rip; crak_save_context then returns for the second time.
 */
struct abi_context {
	unsigned long long rbx, rbp, r12, r13, r14, r15, rsp, rip;
};
#define ABI_CONTEXT_SIZE 64

/* In the interpreter's area; read by the initiator alone, before it unmaps the area. */
struct abi_restart {
	unsigned long long area; /* address of what is left of the interpreter */
	unsigned long long area_length;
	int control; /* descriptor: the initiator writes one byte when all is done, and closes it */
	int threads; /* that will come back, the initiator included */
	int initiator; /* tid */
	int pad;
};
#define ABI_RESTART_SIZE 32

#endif
