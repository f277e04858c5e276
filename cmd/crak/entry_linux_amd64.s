#include "textflag.h"
#include "go_asm.h"

#define SYS_write 1
#define SYS_close 3
#define SYS_nanosleep 35
#define SYS_clone 56
#define SYS_wait4 61
#define SYS_kill 62
#define SYS_exit_group 231
#define SYS_openat 257
#define SYS_prlimit64 302

#define RLIMIT_DATA 2
#define RLIMIT_STACK 3
#define RLIMIT_NPROC 6
#define RLIMIT_NOFILE 7
#define RLIMIT_AS 9
#define AT_FDCWD -100
#define O_PATH 0x200000
#define SIGKILL 9
#define WALL 0x40000000

// Preconditions: none of the Go runtime is there yet, only the stack as the kernel made it, with argc at 0(SP).
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	XORL	R14, R14
	MOVQ	$RLIMIT_AS, SI
	MOVQ	$const_needAddressSpace, R12
	LEAQ	·fewAddresses(SB), R13
	CALL	·notWithin(SB)
	MOVQ	$const_badAddressSpace, R14
	MOVQ	$RLIMIT_AS, SI
	MOVQ	$const_goodAddressSpace, R12
	LEAQ	·badAddresses(SB), R13
	CALL	·notWithin(SB)
	XORL	R14, R14
	MOVQ	$RLIMIT_DATA, SI
	MOVQ	$const_needData, R12
	LEAQ	·littleData(SB), R13
	CALL	·notWithin(SB)
	MOVQ	$RLIMIT_STACK, SI
	MOVQ	$const_needStack, R12
	LEAQ	·littleStack(SB), R13
	CALL	·notWithin(SB)
	CALL	·mayMakeThreads(SB)
	CALL	·mayOpen(SB)
	JMP	_rt0_amd64_linux(SB)

// notWithin writes the Go string at R13 and exits if the soft limit of resource SI is less than R12 bytes, but not less than R14.
TEXT ·notWithin(SB), NOSPLIT|NOFRAME, $0
	SUBQ	$16, SP // struct rlimit
	XORL	DX, DX
	MOVQ	SP, R10
	CALL	·limit(SB)
	MOVQ	0(SP), CX
	ADDQ	$16, SP
	TESTQ	AX, AX
	JNE	enough // not known: the runtime will see
	CMPQ	CX, R12
	JCC	enough
	CMPQ	CX, R14
	JCS	enough
	JMP	·giveUp(SB)
enough:
	RET

// giveUp writes the Go string at R13 to stderr and exits.
TEXT ·giveUp(SB), NOSPLIT|NOFRAME, $0
	MOVL	$2, DI
	MOVQ	0(R13), SI
	MOVQ	8(R13), DX
	MOVL	$SYS_write, AX
	SYSCALL
	MOVL	$const_exitFailed, DI
	MOVL	$SYS_exit_group, AX
	SYSCALL

// limit is prlimit(2) for crak itself: it reads the limit of resource SI to R10, and sets it from DX. Each is the address of a struct
// rlimit, or 0.
TEXT ·limit(SB), NOSPLIT|NOFRAME, $0
	XORL	DI, DI
	MOVL	$SYS_prlimit64, AX
	SYSCALL
	RET

// mayMakeThreads writes a sentence and exits if RLIMIT_NPROC is low and needThreads processes cannot be made. The limit counts all
// processes of the user, and does not hold for root, so only a try can tell. Each process sleeps for a second at most, and is
// killed and waited for at once.
TEXT ·mayMakeThreads(SB), NOSPLIT|NOFRAME, $0
	SUBQ	$(8*const_needThreads), SP // a PID in each word
	MOVL	$RLIMIT_NPROC, SI
	XORL	DX, DX
	MOVQ	SP, R10
	CALL	·limit(SB)
	TESTQ	AX, AX
	JNE	done
	CMPQ	0(SP), $const_manyProcesses
	JCC	done
	XORL	R12, R12 // how many were made
	XORL	R13, R13 // whether one could not be made
make:
	XORL	DI, DI // flags: as fork(2), but without a signal at the end
	XORL	SI, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$SYS_clone, AX
	SYSCALL
	TESTQ	AX, AX
	JEQ	child
	JMI	failed
	MOVQ	AX, (SP)(R12*8)
	INCQ	R12
	CMPQ	R12, $const_needThreads
	JNE	make
	JMP	end
failed:
	MOVL	$1, R13
end:
	TESTQ	R12, R12
	JEQ	ended
	DECQ	R12
	MOVQ	(SP)(R12*8), DI
	MOVL	$SIGKILL, SI
	MOVL	$SYS_kill, AX
	SYSCALL
	MOVQ	(SP)(R12*8), DI
	XORL	SI, SI
	MOVL	$WALL, DX
	XORL	R10, R10
	MOVL	$SYS_wait4, AX
	SYSCALL
	JMP	end
ended:
	TESTQ	R13, R13
	JEQ	done
	LEAQ	·fewProcesses(SB), R13
	JMP	·giveUp(SB)
child:
	MOVQ	$1, 0(SP) // struct timespec: one second
	MOVQ	$0, 8(SP)
	MOVQ	SP, DI
	XORL	SI, SI
	MOVL	$SYS_nanosleep, AX
	SYSCALL
	XORL	DI, DI
	MOVL	$SYS_exit_group, AX
	SYSCALL
done:
	ADDQ	$(8*const_needThreads), SP
	RET

// mayOpen writes a sentence and exits if needDescriptors descriptors cannot be opened. Descriptors that crak has inherited may be
// anywhere below the limit, so only a try can tell. The runtime raises the soft limit to the hard limit when it starts, so mayOpen
// does the same meanwhile. The limit stays as it was: crak run passes it on to the program.
TEXT ·mayOpen(SB), NOSPLIT|NOFRAME, $0
	SUBQ	$(32 + 8*const_needDescriptors), SP // two struct rlimit, and a descriptor in each further word
	MOVL	$RLIMIT_NOFILE, SI
	XORL	DX, DX
	MOVQ	SP, R10
	CALL	·limit(SB)
	TESTQ	AX, AX
	JNE	done
	MOVQ	8(SP), AX
	MOVQ	AX, 16(SP)
	MOVQ	AX, 24(SP)
	LEAQ	16(SP), DX
	CALL	·limitDescriptors(SB)
	XORL	R12, R12 // how many were opened
	XORL	R13, R13 // whether one could not be opened
open:
	MOVQ	$AT_FDCWD, DI
	LEAQ	·rootDirectory(SB), SI
	MOVL	$O_PATH, DX
	XORL	R10, R10
	MOVL	$SYS_openat, AX
	SYSCALL
	TESTQ	AX, AX
	JMI	failed
	MOVQ	AX, 32(SP)(R12*8)
	INCQ	R12
	CMPQ	R12, $const_needDescriptors
	JNE	open
	JMP	end
failed:
	MOVL	$1, R13
end:
	TESTQ	R12, R12
	JEQ	ended
	DECQ	R12
	MOVQ	32(SP)(R12*8), DI
	MOVL	$SYS_close, AX
	SYSCALL
	JMP	end
ended:
	MOVQ	SP, DX
	CALL	·limitDescriptors(SB)
	TESTQ	R13, R13
	JEQ	done
	LEAQ	·fewDescriptors(SB), R13
	JMP	·giveUp(SB)
done:
	ADDQ	$(32 + 8*const_needDescriptors), SP
	RET

// limitDescriptors sets RLIMIT_NOFILE to the struct rlimit at DX.
TEXT ·limitDescriptors(SB), NOSPLIT|NOFRAME, $0
	MOVL	$RLIMIT_NOFILE, SI
	XORL	R10, R10
	JMP	·limit(SB)
