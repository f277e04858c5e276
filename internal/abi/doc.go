// Package abi has the definitions that C and Go share: a C header, and the same types and constants in Go.
//
// In a nutshell: abi.h describes the messages between a resident (C, in the program) and the
// writer (Go), the record of a parked thread, and the registers with which the interpreter
// starts a restored thread. Both languages assert the sizes, and a test compares every constant and
// field offset.
//
// Only struct abi_context depends on the processor.
package abi
