// Package resident is the writer's end of the socket between a writer and a resident, which is the part of
// CRAK inside a program.
//
// In a nutshell: the writer calls Listen, which opens an abstract socket with a random name. Order sends the freeze signal with
// that name to one thread of the program. The resident connects; Accept checks that the peer is the right process, proves that the
// writer may trace it, and returns a Conn. The resident sends HELLO, which says who it is. After the order QUERY it then closes the
// socket. After the order FREEZE the writer goes on with the Conn:
//
//	Frozen    waits until every thread is parked
//	Settle    reads the answers to the questions that went with the proof (Listener.Early)
//	Calls     makes system calls in the program; the initiator executes them
//	Snapshot  makes the frozen program fork the twin
//	Resume    ends the freeze: the program runs on
//	Confirm   asks whether the program is still frozen
//	Kill      makes the frozen program kill itself
//
// Close also ends a freeze, and so does the end of the writer.
//
// internal/abi/abi.h describes the messages. Only one goroutine at a time may use a Conn, except for Progress, FreezeEnded and
// Interrupt.
//
// The files, by concept:
//
//	listener.go               orders, and the socket to which a resident connects
//	conn.go, transfer.go      a connection, and the bytes on it
//	freeze.go                 the freeze: how it begins and ends, and whether it lasts
//	calls.go, questions.go    system calls in the program
//	memory.go                 the program's memory: libcrak.so in it, and the secret, by which the writer proves that it may trace
package resident
