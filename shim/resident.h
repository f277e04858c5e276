/*
 * Declarations that the parts of the resident share.
 *
 * Rules: the resident uses no malloc, no stdio, no lock and no errno. It calls library functions only in init.c and in the
 * functions that it interposes (pthread.c, exec.c, setxid.c, wait.c, prctl.c, cpu_usage.c, cpu_until.c), and in next.c.
 */
#ifndef CRAK_RESIDENT_H
#define CRAK_RESIDENT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>

#include "abi.h"
#include "crak.h"
#ifdef __x86_64__
#include "syscall_amd64.h"
#endif

#define EXPORT __attribute__((visibility("default")))

#define SYSCALL_0(n) syscall6(n, 0, 0, 0, 0, 0, 0)
#define SYSCALL_1(n, a) syscall6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYSCALL_2(n, a, b) syscall6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYSCALL_3(n, a, b, c) syscall6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYSCALL_4(n, a, b, c, d) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYSCALL_5(n, a, b, c, d, e) \
	syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYSCALL_6(n, a, b, c, d, e, f) \
	syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#define load(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define add(p, v) __atomic_add_fetch(p, v, __ATOMIC_SEQ_CST)

/* The kernel's struct sigaction, on amd64 and arm64. */
struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

/* Set when the program starts. A forked child inherits it. */
struct resident {
	char library[4096];  /* path of libcrak.so; empty: unknown */
	char log[4096];      /* path of crak.log */
	char settings[8192]; /* "NAME=value\0"…: CRAK_* from the environment, and CRAK_START_DIR, the initial working directory */
	unsigned settings_length;

	struct kernel_sigaction passed_on; /* of the freeze signal before the resident's: glibc's, which it uses for setuid and the like */

	unsigned restarts;
	int trigger;	  /* signal for which the trigger's handler was installed, or 0 */
	int chained;	  /* 1: a handler of the program has called the trigger's handler */
	int on_current_stack; /* 1: threads have the same alternate stack (altstack.c) */
	unsigned user, group; /* effective IDs when the program started */
	int freeze_limit; /* milliseconds without a message from the writer after which the resident ends a freeze */
};
extern struct resident resident;

#define CHILDREN_MAX 8 /* usually a reaper and a twin; more if writers were killed and their twins have not ended yet */
#define RESULTS_MAX 8  /* results of the last writers are kept */
#define SECRET_WORDS (ABI_SECRET_SIZE / 8)

/*
 * State of one process, in a page of its own. The kernel clears the page in a forked child (MADV_WIPEONFORK). A child of vfork
 * shares the page with its parent and finds the parent's PID in it (is_ours).
 */
struct own {
	unsigned stacks; /* a bit for each static stack that is in use (stack_amd64.S) */
	unsigned stackless; /* number of threads that wait for memory for a stack (stack_amd64.S) */
	struct abi_admission admission; /* note.c says where it is; handle_freeze_signal uses it */

	int pid; /* of the process that the page belongs to; 0: unknown yet */

	unsigned freezing; /* 1 from the initiator's first step to its last */
	int initiator;     /* TID of the initiator during a freeze, or 0 */
	unsigned freeze;   /* futex: number of the freeze; parked threads wait until it changes */
	unsigned parking;  /* futex: number of threads that have received an order to park and are not yet on the list */
	unsigned parked;   /* futex: number of threads on the list, without the initiator */
	unsigned back;     /* futex: number of threads that are back after a restart, without the initiator */
	struct parked *list;

	int holds;		/* number of holds (crak_hold) of all threads */
	uint64_t secret[SECRET_WORDS]; /* proof.c; 0: not made yet */

	int children[CHILDREN_MAX]; /* PIDs of reapers and twins that are still to be reaped, or 0 (spawn.c) */
	unsigned made;	     /* number of entries that spawn_place has taken, one for each child that was to be made */
	unsigned looking;    /* futex: 1 while a thread looks for other children (children.c) */
	int reaper;	     /* index of the last reaper in children */
	unsigned writer;     /* futex: 1 while a reaper runs; the kernel clears it when the reaper ends */
	unsigned writers;    /* number of the last writer that was started */
	int results[RESULTS_MAX]; /* of writers, by number: 0 image written, 1 failed and logged, -1 ended and logged nothing */
	int again;	     /* 1: a request for a checkpoint waits for the end of the current writer */

	unsigned long tracer; /* the tracer that the program has named for Yama (tracer.c); 0: none */

	unsigned members; /* number of processes that the writer freezes together, or 0 */

	uint64_t held_order; /* socket name of an order to freeze that waits for crak_release, or 0 */

	int executing;    /* futex: TID of the thread that executes a program and ignores the freeze signal (exec.c), or 0 */
	unsigned setxids; /* futex: number of threads in a function of setxid.c */

	struct abi_cpu cpu;
} __attribute__((aligned(4096)));
extern struct own own;
_Static_assert(offsetof(struct own, stacks) == 0 && offsetof(struct own, stackless) == 4, "stack_amd64.S");
_Static_assert(offsetof(struct own, admission) == 8, "note.c");

/* A parked thread. The record lies on the resident's stack that the thread runs on. */
struct parked {
	struct abi_thread thread;
	struct abi_context context;
	struct parked *next;
};

/* What getdents64(2) writes. */
struct directory_entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* The system call in which /proc showed a thread blocked, just before the freeze signal was sent. When the thread takes the
 * signal it may be in another call, even at the same instruction. */
struct blocked_syscall {
	int number; /* -1: none */
	uint32_t ip;
	uint64_t arguments; /* checksum of the arguments (ABI_SUM) */
};

/* context_amd64.S */
void *crak_save_context(struct abi_context *) __attribute__((returns_twice));
long crak_clone_vm(long flags, void *stack, int (*child)(void *), void *argument, int *pid, unsigned *alive);

/* stack_amd64.S */
void crak_call_on(void *stack, void (*function)(void *), void *argument);

/* own.c */
int is_ours(void);

/* frame_amd64.c */
void frame_note(struct abi_thread *, const ucontext_t *);
void frame_repeat_syscall(ucontext_t *, const siginfo_t *, struct abi_thread *);

/* eintr_amd64.c */
void frame_fail_with_eintr(ucontext_t *, const struct abi_thread *, int number);

/* interruptible_amd64.c */
enum interrupted {
	INTERRUPTED_WITHOUT_RESTART = 1, /* by a handler that was installed without SA_RESTART */
	INTERRUPTED_ALWAYS = 2,		 /* SA_RESTART makes no difference */
};
int is_interruptible(int number, enum interrupted);

/* interrupted_amd64.c */
int known_syscall(const ucontext_t *, const siginfo_t *);
int interrupted_syscall(const ucontext_t *, const siginfo_t *);

/* cpu_time.c */
extern struct abi_cpu_thread cpu_threads[ABI_CPU_THREADS_MAX];
extern const struct abi_cpu_time cpu_none;
const struct abi_cpu_time *cpu_of_thread(int tid);
void cpu_note(struct abi_thread *);
int64_t cpu_before(int clock);
void cpu_shift(struct timespec *, int clock);

/* cpu_until.c */
void cpu_prepare(void);

/* cpu_time_amd64.S */
void crak_cpu_clock(void);

/* repeat_amd64.c */
int repeat_number(const ucontext_t *);
uint64_t repeat_from(const ucontext_t *, int number);
void repeat_settle(ucontext_t *);

/* rest_amd64.c */
int rest_of(ucontext_t *, const siginfo_t *);
int rest_is_next(const ucontext_t *);
void rest_end(ucontext_t *);

/* memory.c */
int copy_in(void *, uint64_t address, size_t length);
int is_writable(uint64_t address, size_t length);

/* thread.c */
void thread_note(struct parked *, ucontext_t *, const siginfo_t *);

/* park.c */
void park(ucontext_t *, const siginfo_t *);
int park_siblings(struct abi_failure *);
void park_add(struct parked *);
void park_release(void);

/* task.c */
int task_state(int pid, int tid);
struct blocked_syscall task_blocked_syscall(int pid, int tid);
int task_handles_freeze_signal(int pid, int tid);
int task_has_order(int pid, int tid);

/* initiate.c */
void initiate(ucontext_t *, const siginfo_t *);

/* descriptors.c */
int descriptor_opened(int fd);
void descriptor_close(int fd);
void descriptors_forked(void);
void descriptors_forget(void);

/* wire.c */
int wire_connect(uint64_t name);
int wire_hello(int socket, int dumpable);
int wire_send(int socket, unsigned type, unsigned count, const void *body, size_t length);
int wire_write(int socket, struct iovec *parts, int count);
int wire_read(int socket, void *data, size_t length, long until);
int wire_peer(int socket);

/* proof.c */
#define SECRET_SETTING_MAX (sizeof("CRAK_SECRET=") + 2 * ABI_SECRET_SIZE)
int proof_demand(int socket);
void proof_forget(void);
int proof_setting(char *setting);

/* decimal.c */
#define DECIMAL_MAX 24 /* bytes of a number, with its null byte */
char *decimal_write(char *text, long number, int digits);
const char *decimal_read(const char *text, int *value);

/* clock.c */
long milliseconds(void);

/* aio.c */
long aio_room(uint64_t ring, uint64_t places, uint64_t want, uint64_t processors);

/* requests.c */
void serve(int socket);

/* ending.c */
struct maker {
	int pid, tid; /* of the thread that has made the child */
};
struct maker ending_maker(void);
void ending_report(struct maker);
void ending_report_free(struct maker) __attribute__((noreturn));

/* snapshot.c */
long snapshot(int socket);

/* tracer.c */
void tracer_allow(int pid);
void tracer_restore(void);
void tracer_restarted(void);

/* spawn.c */
#define SPAWN_STACK 4096
extern char spawn_stack[SPAWN_STACK]; /* the reaper's */
int spawn_writer(void);
int *spawn_place(void);
void spawn_reap(int pid);
void spawn_reap_all(void);
void spawn_settle(void);
void spawn_settle_child(int pid);
int spawn_is_making(void);
int spawn_is_noted(int pid);
int spawn_has(int pid);
int spawn_has_any(void);
void spawn_take(int pid);
void spawn_await(int pid);

/* api.c */
enum callback { CALLBACK_BEFORE, CALLBACK_AFTER, CALLBACK_RESTART };
void callbacks_run(enum callback);
void holds_forked(void);

/* signals.c */
int install_freeze_handler(void);
void freeze_signal_forked(void);
void install_trigger(int signal);
int trigger_in_force(void);
int is_our_action(const struct kernel_sigaction *);
void freeze_signal_ignore(struct kernel_sigaction *before);
void freeze_signal_restore(const struct kernel_sigaction *);
void freeze_signal_handle(void);
void handle_on_current_stack(void);

/* next.c */
void *next_function(const char *name);
void next_prepare(void);

/* children.c */
int has_other_children(void);

/* wait.c */
void wait_prepare(void);

/* exec.c */
void exec_prepare(void);
int exec_lock(void);
void exec_unlock(void);

/* setxid.c */
void setxid_prepare(void);

/* queue.c */
int queue_order(int pid, int tid, int order, uint64_t value, struct blocked_syscall);
int queue_freeze_signal(int tid, int order, uint64_t value, struct blocked_syscall);
struct blocked_syscall order_blocked_syscall(const siginfo_t *);
unsigned order_members(const siginfo_t *);

/* log.c */
void log_failure(int error);

/* futex.c */
void futex_wait(unsigned *, unsigned value, long nanoseconds);
void futex_wait_for_kernel(unsigned *, unsigned value, long nanoseconds);
void futex_wake_all(unsigned *);

#endif
