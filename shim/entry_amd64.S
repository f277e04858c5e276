/*
 * The entry point of libcrak.so when it is executed. The dynamic loader jumps here as to the _start of any program: argc,
 * argv, envp and auxv are on the stack, and rdx has a function that must be called at exit.
 *
 * __libc_start_main runs writer_start in place of the library's constructors. The resident's constructor is only for
 * programs that libcrak.so is preloaded into.
 */

	.text
	.globl	crak_entry
	.hidden	crak_entry
	.type	crak_entry, @function
crak_entry:
	xor	%ebp, %ebp
	mov	%rsp, %rbx
	mov	%rdx, %r12
	and	$-16, %rsp
	call	load_writer
	lea	writer_main(%rip), %rdi
	mov	(%rbx), %rsi			/* argc */
	lea	8(%rbx), %rdx			/* argv */
	lea	writer_start(%rip), %rcx
	xor	%r8d, %r8d
	mov	%r12, %r9
	push	%rax				/* alignment */
	push	%rbx				/* stack_end */
	call	__libc_start_main@PLT
	hlt
	.size	crak_entry, . - crak_entry

	.section .interp, "a", @progbits
	.asciz	"/lib64/ld-linux-x86-64.so.2"

	.section .note.GNU-stack, "", @progbits
