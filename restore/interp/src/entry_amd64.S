/*
 * The part of the interpreter that depends on the processor. All addresses are relative
 * to rip, because the code runs first where the kernel loaded it, and then in the area.
 */
	.text
	.hidden interp_boot, interp_run

/* The kernel starts the program here, with argc and argv on the stack. */
	.globl	_start
_start:
	xor	%ebp, %ebp
	mov	(%rsp), %rdi
	lea	8(%rsp), %rsi
	and	$-16, %rsp
	call	interp_boot
	ud2

/* long interp_call(const unsigned long long args[6], long number) */
	.globl	interp_call
interp_call:
	mov	%rsi, %rax
	mov	%rdi, %r11
	mov	(%r11), %rdi
	mov	8(%r11), %rsi
	mov	16(%r11), %rdx
	mov	24(%r11), %r10
	mov	32(%r11), %r8
	mov	40(%r11), %r9
	syscall
	ret

/* long interp_thread(clone_args, size, load, number) */
	.globl	interp_thread
interp_thread:
	mov	%rdx, %r8
	mov	%ecx, %r9d
	mov	$435, %eax /* clone3 */
	syscall
	test	%rax, %rax
	jz	1f
	ret
1:	xor	%ebp, %ebp
	mov	%r8, %rdi
	mov	%r9d, %esi
	and	$-16, %rsp
	call	interp_run
	ud2

/* interp_enter(entry, load, stack): call entry(load, 0) on another stack. */
	.globl	interp_enter
interp_enter:
	mov	%rdi, %rax
	mov	%rsi, %rdi
	xor	%esi, %esi
	mov	%rdx, %rsp
	and	$-16, %rsp
	xor	%ebp, %ebp
	call	*%rax
	ud2

/* interp_jump(struct abi_context *, struct abi_restart *) */
	.globl	interp_jump
interp_jump:
	mov	%rsi, %rax
	mov	0(%rdi), %rbx
	mov	8(%rdi), %rbp
	mov	16(%rdi), %r12
	mov	24(%rdi), %r13
	mov	32(%rdi), %r14
	mov	40(%rdi), %r15
	mov	48(%rdi), %rsp
	mov	56(%rdi), %rdx
	jmp	*%rdx

	.section .note.GNU-stack, "", @progbits
