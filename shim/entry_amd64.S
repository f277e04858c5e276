/* The entry of libcrak.so executed: the kernel jumps here, with argc, argv, envp and auxv on the stack as execve(2)
 * leaves them. No loader has been at work. The writer's entry finds them as we did. */

	.text
	.globl	crak_entry
	.hidden	crak_entry
	.type	crak_entry, @function
crak_entry:
	xor	%ebp, %ebp
	mov	%rsp, %rbx
	and	$-16, %rsp
	call	execute
	mov	%rbx, %rsp
	xor	%edx, %edx		/* nothing to call at exit */
	jmp	*%rax
	.size	crak_entry, . - crak_entry

	.section .note.GNU-stack, "", @progbits
