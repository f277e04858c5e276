#include "textflag.h"
#include "go_asm.h"

#define SYS_write 1
#define SYS_exit_group 231
#define SYS_prlimit64 302

#define RLIMIT_DATA 2
#define RLIMIT_AS 9

// Preconditions: none of the Go runtime is there yet, only the stack as the kernel made it, with argc at 0(SP).
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVQ	$RLIMIT_AS, SI
	MOVQ	$const_needAddressSpace, R12
	LEAQ	·fewAddresses(SB), R13
	CALL	·atLeast(SB)
	MOVQ	$RLIMIT_DATA, SI
	MOVQ	$const_needData, R12
	LEAQ	·littleData(SB), R13
	CALL	·atLeast(SB)
	JMP	_rt0_amd64_linux(SB)

// atLeast writes the Go string at R13 and exits if the soft limit of resource SI is less than R12 bytes.
TEXT ·atLeast(SB), NOSPLIT|NOFRAME, $0
	SUBQ	$16, SP // struct rlimit
	XORL	DI, DI
	XORL	DX, DX
	MOVQ	SP, R10
	MOVL	$SYS_prlimit64, AX
	SYSCALL
	MOVQ	0(SP), CX
	ADDQ	$16, SP
	TESTQ	AX, AX
	JNE	enough // not known: the runtime will see
	CMPQ	CX, R12
	JCC	enough
	MOVL	$2, DI
	MOVQ	0(R13), SI
	MOVQ	8(R13), DX
	MOVL	$SYS_write, AX
	SYSCALL
	MOVL	$const_exitFailed, DI
	MOVL	$SYS_exit_group, AX
	SYSCALL
enough:
	RET
