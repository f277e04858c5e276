/* Where clock_gettime goes on for clocks of CPU time after a restart. */

	.text

/*
 * Called from within the vDSO in place of its system call (restore/cpu_time_amd64.go): clock and struct timespec * are
 * in rdi and rsi, the result is in rax. As after a system call, rcx and r11 alone may differ besides. The stack pointer is
 * below the caller's red zone and may be at any multiple of 8.
 */
	.globl	crak_cpu_clock
	.hidden	crak_cpu_clock
	.type	crak_cpu_clock, @function
crak_cpu_clock:
	push	%rbp
	mov	%rsp, %rbp
	push	%rdi
	push	%rsi
	push	%rdx
	push	%r8
	push	%r9
	push	%r10
	and	$-16, %rsp
	call	cpu_clock_gettime
	lea	-48(%rbp), %rsp
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdx
	pop	%rsi
	pop	%rdi
	pop	%rbp
	ret
	.size	crak_cpu_clock, . - crak_cpu_clock

	.section .note.GNU-stack, "", @progbits
