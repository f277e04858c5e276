package interp

import _ "embed"

// Binary is the interpreter: a static ELF executable.
//
//go:embed interp.bin
var Binary []byte
