/* Saves a thread's callee-saved registers; creates a child that shares the memory; returns from a signal handler. */

	.text

/* void *crak_save_context(struct abi_context *) saves the callee-saved registers and returns 0. After a restart it returns a second
 * time, with the value that the interpreter left in rax: the address of a struct abi_restart. */
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

/* long crak_clone_vm(long flags, void *stack, int (*child)(void *), void *argument, int *pid, unsigned *alive)
 * creates a child (clone(2)) that shares the memory, runs child(argument) on the given stack and exits. With
 * CLONE_PARENT_SETTID the kernel stores the PID in *pid before the child runs. With CLONE_CHILD_CLEARTID the kernel clears
 * *alive when the child ends, also if it is killed. */
	.globl	crak_clone_vm
	.hidden	crak_clone_vm
	.type	crak_clone_vm, @function
crak_clone_vm:
	mov	%r9, %r10
	mov	%rdx, %r9
	mov	%r8, %rdx
	mov	%rcx, %r8		/* clone's tls, unused without CLONE_SETTLS: the kernel keeps the register */
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

/* Signal handlers return here: rt_sigreturn(2). */
	.globl	crak_restore_rt
	.hidden	crak_restore_rt
	.type	crak_restore_rt, @function
	nop				/* unwinders look up the byte before a return address */
crak_restore_rt:
	mov	$15, %rax		/* gdb recognizes a signal frame by these two instructions */
	syscall
	.size	crak_restore_rt, . - crak_restore_rt

	.section .note.GNU-stack, "", @progbits
