/* The function that clock_gettime calls for CPU time clocks after a restart. */

	.text

/*
 * A restart patches the vDSO to call this function in place of the system call (restore/cpu_time_amd64.go). rdi has the
 * clock, rsi the struct timespec *, and rax gets the result. As with a system call, only rcx and r11 may change besides. The
 * stack pointer is below the caller's red zone and is a multiple of 8, but not always of 16.
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
