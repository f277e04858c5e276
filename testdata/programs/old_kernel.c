/*
 * old_kernel PROGRAM ARG...: executes a program to which the kernel looks like Linux 5.15. A seccomp filter lets the calls, options and
 * requests fail that came later, with the error of a kernel that does not know them.
 */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { LAST_CALL = 448 /* process_mrelease */, SYS_futex_waitv_ = 449, MOST = 200 };

static struct sock_filter code[MOST];
static int length;

static void put(int op, int jt, int jf, unsigned k)
{
	CHECK(length < MOST);
	code[length++] = (struct sock_filter){op, jt, jf, k};
}

static void load(size_t at) { put(BPF_LD | BPF_W | BPF_ABS, 0, 0, at); }
static void argument(int i) { load(offsetof(struct seccomp_data, args) + 8 * i); }
static void give(int error) { put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error); }

/* Begins the rules of a call. Each call has one rule at least, and end_of() ends them. */
static int begin(int call)
{
	load(offsetof(struct seccomp_data, nr));
	put(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, call);
	return length - 1;
}

static void end_of(int begun)
{
	put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	code[begun].jf = length - begun - 1;
}

static void is(unsigned value, int error)
{
	put(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
	give(error);
}

static void has(unsigned bits, int error)
{
	put(BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
	give(error);
}

static void between(unsigned low, unsigned high, int error)
{
	put(BPF_JMP | BPF_JGE | BPF_K, 0, 2, low);
	put(BPF_JMP | BPF_JGT | BPF_K, 1, 0, high);
	give(error);
}

int main(int argc, char **argv)
{
	int begun;

	CHECK(argc > 1);
	load(offsetof(struct seccomp_data, nr));
	put(BPF_JMP | BPF_JGT | BPF_K, 0, 1, LAST_CALL);
	give(ENOSYS);
	begun = begin(SYS_ioctl);
	argument(1);
	is(0xc0606610, ENOTTY);	       /* PAGEMAP_SCAN, 6.7 */
	is(0x40088a01, ENOTTY);	       /* EPIOCSPARAMS, 6.9 */
	is(0x80088a02, ENOTTY);	       /* EPIOCGPARAMS */
	put(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff00);
	is(0xff00, ENOTTY); /* of pidfds, 6.11 */
	end_of(begun);
	begun = begin(SYS_prctl);
	argument(0);
	is(0x53564d41, EINVAL);	 /* PR_SET_VMA, 5.17 */
	between(63, 100, EINVAL); /* PR_SME_SET_VL, 5.19; PR_SET_MDWE, 6.3; PR_TIMER_CREATE_RESTORE_IDS, 6.15; PR_FUTEX_HASH, 6.16 */
	end_of(begun);
	for (int i = 0; i < 2; i++) {
		begun = begin(i ? SYS_getsockopt : SYS_setsockopt);
		argument(2);
		between(73, 100, ENOPROTOOPT); /* SO_RESERVE_MEM, 5.16; SO_PEERPIDFD, 6.5 */
		is(51, ENOPROTOOPT);	       /* IP_LOCAL_PORT_RANGE, 6.3 */
		end_of(begun);
	}
	begun = begin(SYS_fcntl);
	argument(1);
	between(1027, 1028, EINVAL); /* F_DUPFD_QUERY, 6.10 */
	end_of(begun);
	begun = begin(SYS_pidfd_open);
	argument(1);
	has(O_EXCL, EINVAL); /* PIDFD_THREAD, 6.9 */
	end_of(begun);
	begun = begin(SYS_membarrier);
	argument(0);
	is(512, EINVAL); /* MEMBARRIER_CMD_GET_REGISTRATIONS, 6.3 */
	end_of(begun);
	begun = begin(SYS_madvise);
	argument(2);
	between(25, 1000, EINVAL); /* MADV_COLLAPSE, 6.1; MADV_GUARD_INSTALL, 6.13 */
	end_of(begun);
	begun = begin(SYS_memfd_create);
	argument(1);
	has(0x18, EINVAL); /* MFD_NOEXEC_SEAL and MFD_EXEC, 6.3 */
	end_of(begun);
	put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);

	struct sock_fprog program = {length, code};
	if (geteuid())
		CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	CHECK(syscall(SYS_futex_waitv_, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS);
	CHECK(prctl(66 /* PR_GET_MDWE */, 0, 0, 0, 0) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_pidfd_open, getpid(), O_EXCL) == -1 && errno == EINVAL);
	CHECK(fcntl(0, 1027, 0) == -1 && errno == EINVAL);
	execvp(argv[1], argv + 1);
	fail("execvp");
}
