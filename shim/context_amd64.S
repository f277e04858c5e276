/* Saving a thread's callee-saved registers, a child that shares our memory, the return of a signal handler. */

	.text

/* void *crak_save_context(struct abi_context *): 0 at once; after a restart, what the
 * interpreter left in rax, the address of its struct abi_restart. */
	.globl	crak_save_context
	.hidden	crak_save_context
	.type	crak_save_context, @function
crak_save_context:
	mov	%rbx, (%rdi)
	mov	%rbp, 8(%rdi)
	mov	%r12, 16(%rdi)
	mov	%r13, 24(%rdi)
	mov	%r14, 32(%rdi)
	mov	%r15, 40(%rdi)
	lea	8(%rsp), %rax		/* the caller's stack pointer after the return */
	mov	%rax, 48(%rdi)
	mov	(%rsp), %rax
	mov	%rax, 56(%rdi)
	xor	%eax, %eax
	ret
	.size	crak_save_context, . - crak_save_context

/* long crak_clone_vm(long flags, void *stack, int (*child)(void *), void *argument, int *pid, unsigned *alive):
 * clone(2) of a child that shares the memory, runs child(argument) on its own stack and exits.
 * With CLONE_PARENT_SETTID its PID is at *pid before it runs. With CLONE_CHILD_CLEARTID the kernel clears
 * *alive as it ends, however it ends. */
	.globl	crak_clone_vm
	.hidden	crak_clone_vm
	.type	crak_clone_vm, @function
crak_clone_vm:
	mov	%r9, %r10
	mov	%rdx, %r9
	mov	%r8, %rdx
	mov	%rcx, %r8		/* kept by the kernel: clone's tls, unused without CLONE_SETTLS */
	and	$-16, %rsi
	mov	$56, %eax		/* clone */
	syscall
	test	%rax, %rax
	jz	1f
	ret
1:	xor	%ebp, %ebp
	mov	%r8, %rdi
	call	*%r9
	mov	%eax, %edi
	mov	$60, %eax		/* exit */
	syscall
	hlt
	.size	crak_clone_vm, . - crak_clone_vm

/* Where a signal handler returns to: rt_sigreturn(2). */
	.globl	crak_restore_rt
	.hidden	crak_restore_rt
	.type	crak_restore_rt, @function
	nop				/* unwinders look one byte before a return address */
crak_restore_rt:
	mov	$15, %rax		/* these two instructions are how gdb knows a signal frame */
	syscall
	.size	crak_restore_rt, . - crak_restore_rt

	.section .note.GNU-stack, "", @progbits
