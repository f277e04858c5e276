package dump

// maskInFrame is the offset of uc_sigmask in the ucontext_t of a signal frame (arch/x86/include/uapi/asm/ucontext.h).
const maskInFrame = 296
