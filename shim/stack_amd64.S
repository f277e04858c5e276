/*
 * The entries of the two signal handlers. They write nothing to the program's stack.
 *
 * That stack may be small: an alternate stack of MINSIGSTKSZ bytes, or a coroutine's stack of 4 KiB. The kernel saves all
 * registers there, in its signal frame, and this may fill the stack. The memory below belongs to something else. So the entry takes
 * one of the resident's stacks before it pushes anything:
 *
 *	one of STACK_COUNT static stacks, by a bit in own.stacks;
 *	if all are in use, a new mapping, which is unmapped at the end;
 *	if that fails, it waits and tries again. The initiator gives the freeze up after a bound, and that frees the stacks.
 *
 * After a restart a thread comes back on the stack that it had, and gives it back in the same way. A child of vfork shares the
 * static stacks with its parent; one that is killed in a handler never gives its stack back, and then there is one less.
 */

#define STACK_SHIFT 12
#define STACK_SIZE (1 << STACK_SHIFT) /* shimtest/stack_test.go asserts that it suffices */
#define STACK_COUNT 16

#define SYS_mmap 9
#define SYS_munmap 11
#define SYS_rt_sigprocmask 14
#define SYS_nanosleep 35

#define PROT_READ_WRITE 3
#define MAP_FLAGS 0x24022 /* MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK */
#define SIG_SETMASK 2
#define MASK_SIZE 8

	.hidden	own
	.hidden	handle_freeze_signal
	.hidden	handle_trigger
	.hidden	crak_restore_rt

	.section .rodata
	.balign	8
pause:	.quad	0, 1000000		/* a struct timespec: 1 ms */
all:	.quad	-1			/* a signal mask */

	.text

/* Sets rax to the upper end of a free stack. Changes no callee-saved register. */
	.macro	take_stack
0:	xor	%ecx, %ecx
1:	lock btsl %ecx, own(%rip)	/* own.stacks */
	jnc	2f
	inc	%ecx
	cmp	$STACK_COUNT, %ecx
	jb	1b
	mov	$SYS_mmap, %eax
	xor	%edi, %edi
	mov	$STACK_SIZE, %esi
	mov	$PROT_READ_WRITE, %edx
	mov	$MAP_FLAGS, %r10d
	mov	$-1, %r8
	xor	%r9d, %r9d
	syscall
	cmp	$-4096, %rax
	jbe	3f
	lock incl own + 4(%rip)		/* own.stackless */
	mov	$SYS_nanosleep, %eax
	lea	pause(%rip), %rdi
	xor	%esi, %esi
	syscall
	lock decl own + 4(%rip)
	jmp	0b
2:	lea	crak_stacks(%rip), %rax
	shl	$STACK_SHIFT, %rcx
	add	%rcx, %rax
3:	add	$STACK_SIZE, %rax
	.endm

/* Gives back the stack that ends at rbp. Changes rax, rcx, rdi, rsi, r11. Preconditions: rsp is not on it. */
	.macro	give_stack
	lea	-STACK_SIZE(%rbp), %rdi
	mov	%rdi, %rax
	lea	crak_stacks(%rip), %rcx
	sub	%rcx, %rax
	shr	$STACK_SHIFT, %rax
	cmp	$STACK_COUNT, %rax
	jae	1f
	lock btrl %eax, own(%rip)
	jmp	2f
1:	mov	$SYS_munmap, %eax
	mov	$STACK_SIZE, %esi
	syscall
2:
	.endm

/*
 * The handler of the freeze signal. The kernel calls it with every signal blocked and all registers in its frame, so it need not
 * preserve any. If the C function returns a handler, that one runs instead, on the program's stack.
 */
	.globl	crak_on_freeze_signal
	.hidden	crak_on_freeze_signal
	.type	crak_on_freeze_signal, @function
crak_on_freeze_signal:
	.cfi_startproc
	.cfi_signal_frame		/* or gdb takes a frame on another stack for a corrupt one */
	lea	handle_freeze_signal(%rip), %r15
by_kernel:
	mov	%rsp, %rbx
	.cfi_def_cfa_register %rbx
	mov	%edi, %r12d
	mov	%rsi, %r13
	mov	%rdx, %r14
	take_stack
	mov	%rax, %rbp
	mov	%rax, %rsp
	mov	%r12d, %edi
	mov	%r13, %rsi
	mov	%r14, %rdx
	call	*%r15
	mov	%rax, %r15
	mov	%rbx, %rsp
	give_stack
	test	%r15, %r15
	jz	1f
	mov	%r12d, %edi
	mov	%r13, %rsi
	mov	%r14, %rdx
	jmp	*%r15
1:	ret
	.cfi_endproc
	.size	crak_on_freeze_signal, . - crak_on_freeze_signal

/*
 * The handler of the trigger. A program may install a handler of its own later, which then calls this one. PHP does so, perhaps
 * after its own handler has returned: then the context is not valid any more. When the kernel itself has called this
 * function, its return address is crak_restore_rt, and the context is valid. Other callers find their registers and their
 * signal mask unchanged, and the C function gets NULL as the context. A handler that interrupts the few instructions before
 * signals are blocked, and leaves by longjmp, leaves the stack in use for good.
 */
	.globl	crak_on_trigger
	.hidden	crak_on_trigger
	.type	crak_on_trigger, @function
crak_on_trigger:
	.cfi_startproc
	lea	crak_restore_rt(%rip), %rax
	cmp	%rax, (%rsp)
	jne	1f
	lea	handle_trigger(%rip), %r15
	jmp	by_kernel
1:	take_stack
	mov	%rbx, -8(%rax)
	mov	%rbp, -16(%rax)
	mov	%rax, %rbp
	.cfi_escape 0x10, 3, 2, 0x76, 0x78	/* rbx is at rbp - 8 */
	.cfi_escape 0x10, 6, 2, 0x76, 0x70	/* rbp is at rbp - 16 */
	mov	$SYS_rt_sigprocmask, %eax
	mov	$SIG_SETMASK, %edi
	lea	all(%rip), %rsi
	lea	-24(%rbp), %rdx
	mov	$MASK_SIZE, %r10d
	syscall
	mov	%rsp, %rbx
	.cfi_def_cfa_register %rbx
	lea	-32(%rbp), %rsp
	xor	%edx, %edx
	call	handle_trigger
	mov	%rbx, %rsp
	.cfi_def_cfa_register %rsp
	mov	$SYS_rt_sigprocmask, %eax
	mov	$SIG_SETMASK, %edi
	lea	-24(%rbp), %rsi
	xor	%edx, %edx
	mov	$MASK_SIZE, %r10d
	syscall
	mov	-8(%rbp), %rbx
	.cfi_restore %rbx
	mov	-16(%rbp), %r8
	give_stack
	mov	%r8, %rbp
	.cfi_restore %rbp
	ret
	.cfi_endproc
	.size	crak_on_trigger, . - crak_on_trigger

/* void crak_call_on(void *stack, void (*function)(void *), void *argument): calls function(argument) on a stack, given by its
 * upper end. */
	.globl	crak_call_on
	.hidden	crak_call_on
	.type	crak_call_on, @function
crak_call_on:
	.cfi_startproc
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rbx, -16
	mov	%rsp, %rbx
	.cfi_def_cfa_register %rbx
	mov	%rdi, %rsp
	mov	%rdx, %rdi
	call	*%rsi
	mov	%rbx, %rsp
	.cfi_def_cfa_register %rsp
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	ret
	.cfi_endproc
	.size	crak_call_on, . - crak_call_on

	.bss
	.balign	64
crak_stacks:
	.skip	STACK_SIZE * STACK_COUNT

	.section .note.GNU-stack, "", @progbits
