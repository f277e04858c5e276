// Package shimtest tests the libcrak.so that `make` has built: its exported symbols, its cost for a program that
// preloads it, and its behaviour when threads, forks and signals come at a bad moment.
//
// Most tests run testdata/subject*.c, a program that prints its observations.
package shimtest
