package coord

// machine is the processor that libcrak.so is for: EM_X86_64 of elf(5).
const machine = 62
