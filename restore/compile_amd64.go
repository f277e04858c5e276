package restore

// Codes of arch_prctl(2).
const (
	archSetGS = 0x1001
	archSetFS = 0x1002
)
