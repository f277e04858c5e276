// Package resident is the writer's end of the wire to the code that lives in a program.
//
// In a nutshell: Listen opens an abstract socket with a random name, Order sends
// that name to one thread of the program with the freeze signal, Accept takes the
// connection and checks who is there, and the Conn then makes the resident work:
//
//	Frozen    waits until every thread is parked
//	Calls     has the initiator make system calls inside the program
//	Snapshot  has it fork the copy-on-write twin
//	Resume    lets the program go on; so does Close, and so does our death
//
// The messages are described in internal/abi/abi.h. A Conn is used by one goroutine at a time.
package resident
