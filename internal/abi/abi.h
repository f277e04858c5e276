/*
 * Definitions that C and Go share: the messages between a resident and the writer, the record of a parked thread, and
 * what the interpreter leaves for a restored thread. abi.go has the same definitions for Go; both languages assert the
 * sizes.
 *
 * How a checkpoint begins. The writer listens on an abstract AF_UNIX stream socket with a random name. It sends the
 * freeze signal to one thread of the program, with an order (ABI_ORDER_…) and that name in the siginfo. The resident's
 * handler of the signal runs in that thread, the initiator, and connects to the socket.
 *
 * The messages on the socket. Each message is a struct abi_message, then `length` bytes.
 *
 *	resident sends             writer sends
 *	CHALLENGE abi_challenge                 the address of a secret in the resident's memory
 *	                           PROOF        the secret; only a process that may trace the program can read it. A request
 *	                                        may follow at once: the initiator reads it after FROZEN
 *	HELLO     abi_hello                     then the settings, each "NAME=value\0"
 *
 * After a query (ABI_ORDER_QUERY) the resident now closes the socket and returns to the program. After an order to freeze
 * the initiator parks the other threads and sends one of
 *
 *	FROZEN    abi_thread[count]             all threads are parked
 *	FAILED    abi_failure                   the freeze has failed, and the threads run again
 *
 * After FROZEN the writer sends requests, and the initiator carries out one after the other:
 *
 *	                           CALLS        abi_call[count], then data: make these system calls
 *	RESULTS   int64[count]                  then the data, as the calls have changed it
 *	                           PROGRESS     the writer is still at work; the resident sends no answer
 *	                           SNAPSHOT     fork the twin
 *	RESULTS   int64[1]                      PID of the twin, or -errno; the program is still frozen
 *	                           RESUME       let the threads run again; no answer
 *
 * If either side closes the socket or dies, the resident lets the threads run again. It does so, too, if it receives no
 * complete message for hello.limit milliseconds; then it closes the socket. The twin lives until the writer closes
 * the socket.
 */
#ifndef CRAK_ABI_H
#define CRAK_ABI_H

#define ABI_VERSION 4
#define ABI_MAGIC 0x4b415243 /* "CRAK" */

/* The freeze signal: glibc's SIGSETXID. glibc lets no program block this signal or SIGCANCEL (32). */
#define ABI_FREEZE_SIGNAL 33

/*
 * The exit signal of the reaper and the twin. No signal has this number, so the kernel sends none when they end. It would send one to
 * the whole process, and could wake a second thread for it: epoll_wait(2) and other calls would fail with EINTR in that thread, and no
 * handler would run there. Like any exit signal but SIGCHLD, it hides the child from waits without __WALL and __WCLONE. clone(2)
 * accepts all numbers up to 255; clone3(2) does not.
 */
#define ABI_EXIT_SIGNAL 255

/* Orders, in si_errno of a queued freeze signal. si_value has the given value. */
#define ABI_ORDER_QUERY 0x43524600  /* from the writer: send HELLO and go on; value: name of the writer's socket */
#define ABI_ORDER_FREEZE 0x43524601 /* from the writer: freeze the program; value: name of the writer's socket */
#define ABI_ORDER_PARK 0x43524602   /* from the initiator to each other thread: park; value: number of the freeze */
#define ABI_ORDER_REAP 0x43524603   /* from an ending reaper or twin, or from the writer: wait for that child; value: its PID */

/*
 * The sender of an order also reads /proc/PID/task/TID/syscall and puts into the siginfo in which system call the
 * thread is blocked: once the signal has interrupted the call, its number is lost. The siginfo, seen as an array of
 * ints, has these elements after si_value. The kernel copies them unchanged. (It may change si_pid and si_uid, if the
 * sender is in another namespace.)
 */
#define ABI_ORDER_BLOCKED 8    /* number of the blocked system call, or -1 */
#define ABI_ORDER_IP 9	       /* low half of the instruction pointer */
#define ABI_ORDER_ARGUMENTS 10 /* checksum of the arguments: low half, then high half */

/* The element between si_code and si_pid is the number of processes that the writer freezes together (0: unknown). If they are
 * many, each waits for the writer's requests most of the time, and must leave the processors to the others. (The kernel copies
 * the first 48 bytes of a siginfo, and fills the rest with zeroes. Only this element was free.) */
#define ABI_ORDER_MEMBERS 3

/* The checksum starts with 0. For each argument it becomes (checksum ^ argument) * ABI_SUM, in 64 bits. */
#define ABI_SUM 0x100000001b3

/* libcrak.so has an ELF note (elf(5)) of this name in its first page. By the note the writer finds the library, also after a
 * restart has restored it as anonymous memory. A library from before the note is found by its file name. */
#define ABI_NOTE_NAME "CRAK"
#define ABI_NOTE_TYPE 1 /* descriptor: unsigned int ABI_VERSION */
#define ABI_NOTE_ADMISSION 2 /* descriptor: int, the distance in bytes from itself to the struct abi_admission */

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
	unsigned int count; /* number of elements in the message's array */
	unsigned long long length; /* bytes that follow */
};
#define ABI_MESSAGE_SIZE 16

/* CPU time that was used, and how much of it in user mode and in the kernel. */
struct abi_cpu_time {
	long long total_ns;
	long long user_us;
	long long system_us;
};
#define ABI_CPU_TIME_SIZE 24

/*
 * CPU time that the process and its threads had used before the last restart. After a restart the kernel counts from 0, so
 * the restart writes these values into the resident's memory. In a forked child they are zero.
 */
struct abi_cpu {
	struct abi_cpu_time process;
	struct abi_cpu_time children; /* children that the process has waited for; total_ns is unused */
	unsigned long long threads; /* number of entries in the table of struct abi_cpu_thread */
};
#define ABI_CPU_SIZE 56

/* An entry of that table, which is sorted by tid. */
struct abi_cpu_thread {
	int tid;
	int pad;
	struct abi_cpu_time used;
};
#define ABI_CPU_THREAD_SIZE 32
#define ABI_CPU_THREADS_MAX 4096
#define ABI_SECRET_SIZE 16 /* random bytes, different in each process */

/* The address of the secret is relative: a peer that may not read the process must not learn where its memory is. */
struct abi_challenge {
	unsigned int magic;
	unsigned int version;
	unsigned long long secret; /* distance in bytes from the start of libcrak.so in memory (its ELF header) */
};
#define ABI_CHALLENGE_SIZE 16

struct abi_hello {
	unsigned int magic;
	unsigned int version;
	int pid; /* in the resident's own PID namespace */
	int tid; /* the initiator */
	int dumpable; /* PR_GET_DUMPABLE before the freeze. During the freeze it is 1, so that the writer can read /proc/PID */
	int holds; /* number of holds (crak_hold); a freeze waits until it is 0 */
	int socket; /* the program's descriptor of this socket */
	int trigger; /* the signal that asks for a checkpoint; 0: none, or the program has its own handler for it */
	unsigned long long restarts; /* how often this process was restarted */
	int limit; /* milliseconds without a message after which the resident ends a freeze */
	int pad;
	unsigned long long cpu; /* address of the struct abi_cpu */
	unsigned long long cpu_threads; /* address of the table of struct abi_cpu_thread */
	unsigned long long cpu_clock; /* address of the function that clock_gettime calls for CPU time clocks after a restart */
	struct abi_cpu_time used; /* abi_cpu.process */
	struct abi_cpu_time children_used; /* abi_cpu.children */
};
#define ABI_HELLO_SIZE 120

enum abi_failure_code {
	ABI_FAILED_PARK = 1, /* thread tid did not park in time; detail: milliseconds without progress */
	ABI_FAILED_TASKS = 2, /* /proc/self/task cannot be read; detail: errno */
	ABI_FAILED_SIGNAL = 3, /* thread tid cannot be signalled; detail: errno */
	ABI_FAILED_MEMORY = 4, /* no memory for the stacks on which threads park; detail: how many threads have none */
};

struct abi_failure {
	int code;
	int tid;
	int detail;
	int line;
};
#define ABI_FAILURE_SIZE 16

#define ABI_THREAD_INITIATOR 1u /* carried out the freeze; it need not be the thread group leader */
#define ABI_THREAD_DEAD 2u	/* a thread group leader that has exited and is a zombie; only tid is valid */
#define ABI_THREAD_RSEQ 4u	/* has an rseq area that is not glibc's; only a tracer can find out its address */

/* A parked thread. Addresses are addresses in the program. */
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
	unsigned long long mask; /* signal mask before the freeze signal */
	unsigned long long ip; /* instruction pointer at which the thread goes on */
	unsigned long long sp;
	long long syscall; /* number of the system call that the thread will make again, or -1 */
	int policy; /* NUMA memory policy with its mode flags (set_mempolicy(2)); 0: default */
	int pad;
	unsigned long long nodes[4]; /* bit mask of the nodes of that policy */
	struct abi_cpu_time cpu; /* used since the program was started, over all restarts */
};
#define ABI_THREAD_SIZE 208

/*
 * A system call for the initiator to make. `relative` has a bit for each argument that is not the value itself:
 *	ABI_DATA(i)    args[i] is an offset into the message's data; the resident adds the address of its copy of the data
 *	ABI_VALUE(i)   args[i] is the offset of an unsigned int in the data; the argument is its value when the call is made
 *	ABI_RESULT(i)  args[i] is the index of an earlier call of the message; the argument is its result
 * or that says when the initiator makes the call once more, a millisecond later, for at most 10 s:
 *	ABI_WHILE_FULL the result is -EAGAIN
 *	ABI_WHILE_LESS the result is 0, and the int that argument 2 points to is less than arguments 3 and 4
 */
struct abi_call {
	unsigned int number; /* or one of ABI_CALL_* */
	unsigned int relative;
	unsigned long long args[6];
};
#define ABI_DATA(i) (1u << (i))
#define ABI_VALUE(i) (1u << (8 + (i)))
#define ABI_RESULT(i) (1u << (16 + (i)))
#define ABI_WHILE_FULL (1u << 30)
#define ABI_WHILE_LESS (1u << 31)
#define ABI_CALL_ADDRESS 0x7fffffff  /* make no call; the result is the first argument */
#define ABI_CALL_AIO_ROOM 0x7ffffffe /* aio_room(ring, count, want, processors) in shim/aio.c; an older resident: -ENOSYS */
#define ABI_PROCESSORS_MAX 8192
#define ABI_CALL_SIZE 56
#define ABI_CALLS_MAX 512    /* calls in one message */
#define ABI_DATA_MAX 32768   /* bytes of data in one message */

/*
 * The callee-saved registers of a parked thread on amd64. At a restart the interpreter creates the thread, loads these
 * registers, puts the address of a struct abi_restart into rax and jumps to rip. There, crak_save_context returns for the
 * second time.
 */
struct abi_context {
	unsigned long long rbx, rbp, r12, r13, r14, r15, rsp, rip;
};
#define ABI_CONTEXT_SIZE 64

/*
 * The signal mask of a thread of a stopped program, while a tracer lets it into the handler of the freeze signal (internal/tracer). The
 * tracer writes the record, blocks all signals but the freeze signal, and lets the thread run. The handler then finds this mask
 * in its signal frame. It puts the mask of the record in its place, and clears tid. So it does not matter if the tracer is killed
 * in between.
 */
struct abi_admission {
	int tid; /* of the thread, in its own PID namespace; 0: none */
	int pad;
	unsigned long long mask; /* blocked signals of the program */
};
#define ABI_ADMISSION_SIZE 16

/* Lies in the memory of the interpreter. Only the initiator reads it, before it unmaps that memory. */
struct abi_restart {
	unsigned long long area; /* address of the memory of the interpreter that is still mapped */
	unsigned long long area_length;
	int control; /* descriptor: when the restart is complete, the initiator writes a byte to it and closes it */
	int threads; /* number of threads that come back, with the initiator */
	int initiator; /* its TID */
	int pad;
};
#define ABI_RESTART_SIZE 32

#endif
