// Package shimtest tests libcrak.so as it is built: what it exports, what it costs a program that merely
// preloads it, and what its C does when threads, forks and signals come at a bad moment.
//
// The tests run testdata/subject.c, a program that prints what it finds; `make` comes first.
package shimtest
