package coord

import "debug/elf"

// machine is the processor that libcrak.so is for.
const machine = elf.EM_X86_64
