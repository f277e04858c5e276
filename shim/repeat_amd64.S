/*
 * Stubs that make a system call again with the rest of its timeout (repeat_amd64.c), or for the rest of its data (rest_amd64.c).
 *
 * A thread goes on at the stub of its record. All registers but the arguments are the thread's own. After the
 * system call the stub restores the arguments and jumps to the instruction after the program's own syscall instruction. The
 * stub does not change the stack. Nor does it change the flags: so it uses no instruction that sets them. It uses rcx and r11,
 * which a system call changes anyway.
 */

#include <sys/syscall.h>

#include "repeat_amd64.h"

	.text
	.p2align 12
	.globl	crak_repeat_stubs
	.hidden	crak_repeat_stubs
	.type	crak_repeat_stubs, @function
crak_repeat_stubs:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_def_cfa rsp, 0
	/*
	 * For unwinders: the caller's rip is in the record, at
	 *	page = rip & -4096; page + *page + (rip & 0xff0) / REPEAT_STUB * REPEAT_RECORD
	 * DW_CFA_expression(rip): breg16 0, dup, const2u 0xff0, and, lit3, shl, swap, const2s -4096, and, dup, deref,
	 * plus, plus
	 */
	.cfi_escape 0x10, 16, 18, 0x80, 0, 0x12, 0x0a, 0xf0, 0x0f, 0x1a, 0x33, 0x24, 0x16, 0x0b, 0x00, 0xf0, 0x1a, 0x12, 0x06, 0x22, 0x22
	.set	record, 0
	.rept	REPEAT_PAGES
	.quad	crak_repeats + record * REPEAT_RECORD - .
	.quad	0
	.set	record, record + 1
	.rept	REPEAT_PER_PAGE - 1
	syscall
	lea	crak_repeats + record * REPEAT_RECORD(%rip), %r11
	jmp	go_on
	.p2align 4
	.set	record, record + 1
	.endr
	.endr
	.cfi_endproc
	.size	crak_repeat_stubs, . - crak_repeat_stubs

	.p2align 4
	.type	go_on, @function
go_on:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_def_cfa rsp, 0
	.cfi_escape 0x10, 16, 2, 0x7b, REPEAT_IP	/* rip: breg11 */
	movzbl	REPEAT_IS_REST(%r11), %ecx
	jrcxz	1f
	jmp	part
1:	jmp	timed

part:	cqo						/* rdx: -1 if the call failed, else 0 */
	mov	%rdx, %rcx
	mov	REST_DONE(%r11), %rdx
	jrcxz	1f
	jmp	enough
1:	movzbl	REST_POLLING(%r11), %ecx
	jrcxz	2f
	jmp	transfer
2:	lea	(%rdx, %rax), %rdx
	mov	%rdx, REST_DONE(%r11)
	not	%rax
	mov	REST_LENGTH(%r11), %rcx
	lea	1(%rcx, %rax), %rcx			/* what is missing */
	jrcxz	3f
	jmp	enough
3:	movzwl	REST_NEXT(%r11), %ecx
	jrcxz	4f
	lea	(%rcx, %rcx), %rsi			/* &list[next], of 16 bytes each, and the count from there */
	mov	REPEAT_RSI(%r11), %rdi
	lea	(%rdi, %rsi, 8), %rsi
	mov	%rsi, REST_ADDRESS(%r11)
	not	%rcx
	mov	REPEAT_RDX(%r11), %rdi
	lea	1(%rcx, %rdi), %rcx
	mov	%rcx, REST_LENGTH(%r11)
	movw	$0, REST_NEXT(%r11)
	movb	$SYS_writev, REST_CALL(%r11)
	jmp	crak_rest
4:	jmp	enough

	/* A thread begins here with the rest. r11: the record. */
	.globl	crak_rest
	.hidden	crak_rest
crak_rest:
	movzbl	REST_POLLS(%r11), %ecx
	jrcxz	transfer
	movb	$1, REST_POLLING(%r11)
	lea	REST_POLL(%r11), %rdi
	mov	$1, %esi
	mov	$-1, %rdx
	mov	$SYS_poll, %eax
	jmp	*REST_STUB(%r11)

transfer:
	movb	$0, REST_POLLING(%r11)
	mov	REPEAT_RDI(%r11), %rdi
	mov	REST_ADDRESS(%r11), %rsi
	mov	REST_LENGTH(%r11), %rdx
	movzwl	REST_FLAGS(%r11), %r10d
	mov	$0, %r8d
	mov	$0, %r9d
	movzbl	REST_IS_SENDFILE(%r11), %ecx
	jrcxz	5f
	mov	%rdx, %r10
	mov	REPEAT_RDX(%r11), %rdx
5:	movzbl	REST_CALL(%r11), %eax
	jmp	*REST_STUB(%r11)

enough:	mov	%rdx, %rax				/* an error of the rest is not this call's: bytes were transferred */
	jmp	1f

timed:	mov	REPEAT_BACK(%r11), %rcx			/* copy the rest that the kernel has written to the program's timeout */
	jrcxz	1f
	mov	REPEAT_LEFT(%r11), %r10
	mov	%r10, (%rcx)
	mov	REPEAT_LEFT+8(%r11), %r10
	mov	%r10, 8(%rcx)
1:	mov	REPEAT_RDI(%r11), %rdi
	mov	REPEAT_RSI(%r11), %rsi
	mov	REPEAT_RDX(%r11), %rdx
	mov	REPEAT_R10(%r11), %r10
	mov	REPEAT_R8(%r11), %r8
	mov	REPEAT_R9(%r11), %r9
	mov	REPEAT_IP(%r11), %rcx
	.cfi_register rip, rcx
	mov	REPEAT_OWNER(%r11), %r11
	movl	$0, (%r11)				/* the record is free now */
	jmp	*%rcx
	.cfi_endproc
	.size	go_on, . - go_on

	.section .note.GNU-stack, "", @progbits
