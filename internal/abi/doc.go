// Package abi is what C and Go share: one header, one Go mirror.
//
// In a nutshell: abi.h describes the messages between a resident (C, inside the
// program) and the writer (Go), the record of a parked thread, and the registers
// by which the interpreter hands a restored thread back to its resident. Sizes are
// asserted in both languages; a test compares every constant and field offset.
//
// The processor is in abi_context alone; another architecture gives it another body.
package abi
