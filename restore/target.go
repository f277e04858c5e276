package restore

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/compile"
)

// describeMachine sets the fields of a target that depend on this machine. mappings and status are the interpreter's, or those of
// a process like it.
func describeMachine(t *compile.Target, mappings []proc.Mapping, status *proc.StatusInfo, now func(int32) (int64, bool)) {
	t.Kernel, t.Credentials = kernelMappings(mappings), credentialsFrom(status)
	t.HardLimits, t.TimerIDs, t.Now = hardLimits(), timerIDs(), now
}

// kernelMappings returns the mappings that the kernel makes: vdso and vvar.
func kernelMappings(mappings []proc.Mapping) (all []proc.Mapping) {
	for _, m := range mappings {
		if isKernelMapping(m.Path) {
			all = append(all, m)
		}
	}
	return all
}

func isKernelMapping(name string) bool {
	return name == "[vdso]" || name == "[vvar]" || name == "[vvar_vclock]"
}

// credentialsFrom returns the credentials of a process with this status. The securebits are our own.
func credentialsFrom(s *proc.StatusInfo) image.Credentials {
	bits, _ := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	return image.Credentials{UID: s.Uid, GID: s.Gid, Groups: s.Groups, Inheritable: s.CapInh, Permitted: s.CapPrm,
		Effective: s.CapEff, Bounding: s.CapBnd, Ambient: s.CapAmb, SecureBits: uint32(bits), NoNewPrivs: s.NoNewPrivs}
}

// hardLimits returns our hard limits, by resource.
func hardLimits() map[int]uint64 {
	hard := make(map[int]uint64)
	for resource := range unix.RLIMIT_RTTIME + 1 {
		var l unix.Rlimit
		if unix.Getrlimit(resource, &l) == nil {
			hard[resource] = l.Max
		}
	}
	return hard
}

// timerIDs probes for PR_TIMER_CREATE_RESTORE_IDS.
func timerIDs() bool {
	_, err := unix.PrctlRetInt(unix.PR_TIMER_CREATE_RESTORE_IDS, unix.PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0)
	return err == nil
}

// now reads a clock that is the same for all processes. ok is false for other clocks.
func now(clock int32) (ns int64, ok bool) {
	var t unix.Timespec
	switch clock {
	case unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI, unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
		err := unix.ClockGettime(clock, &t)
		return t.Nano(), err == nil
	}
	return 0, false
}
