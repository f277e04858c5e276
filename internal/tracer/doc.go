// Package tracer lets the threads of a stopped process run a signal handler, and nothing else.
//
// In a nutshell: a process that is stopped (state T, by SIGSTOP or ^Z) does not run handlers. With PTRACE_SEIZE the process stays
// stopped for its parent, and its threads run if the tracer lets them. When the tracer detaches, the kernel stops the process
// again, and does not tell the parent (JOBCTL_STOP_PENDING in kernel/ptrace.c).
//
//	Stopped: seize ─> waiting ──(the freeze signal is pending)──> inside the handler ──(rt_sigreturn)──> waiting ─> detach
//	                                                                 │          ▲
//	                                                                 └> paused ─┘
//
//	Leaving:                             seize ─> inside the handler ──(rt_sigreturn)──> waiting ─> detach
//
// The process may be continued, or stopped again, while it is traced: each ptrace stop tells which (Tracer.By). Stopped refuses a
// process of which a thread was stopped inside the handler: the signal mask of that thread is not the program's.
//
// A thread that is waiting or paused is in a ptrace stop. Inside the handler every signal is blocked. Before the thread enters the
// handler, the tracer blocks all signals but the freeze signal: the others stay pending. The handler itself restores the mask. So no
// mask is lost if the tracer is killed.
//
// The files, by concept:
//
//	tracer.go           what the writer asks of a tracer
//	tracer_thread.go    the thread of crak that traces: ptrace(2) accepts no other
//	admission.go        how a thread enters the handler, and what becomes of its signal mask
//	handling.go         which threads are inside the handler
//	events.go           what the traced threads report
package tracer
