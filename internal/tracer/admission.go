package tracer

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// A thread that is let into the handler must take no other signal on the way. So the tracer blocks all but the freeze signal, and
// the kernel saves this mask in the signal frame. First the tracer writes the program's mask into a record of the resident (struct
// abi_admission), from which the handler takes it. There is one record, so the threads enter one after the other.
//
// If the tracer is killed before the handler runs, the thread still has the freeze signal pending. The handler then takes the
// mask when the program is continued, or the next tracer sets it (giveMaskBack).

// admitting is the mask of a thread that is let into the handler. The kernel removes SIGKILL and SIGSTOP from every mask.
const admitting = ^(freezeBit | 1<<(unix.SIGKILL-1) | 1<<(unix.SIGSTOP-1))

// looksEntered is how often the tracer looks, without a pause, whether the thread has entered the handler.
const looksEntered = 200

// findRecord finds the record of the resident. A process without a resident has none, and takes no order.
func (h *Tracer) findRecord() (err error) {
	h.record, err = resident.Admission(h.pid)
	if errors.Is(err, resident.ErrNoLibrary) {
		return nil
	}
	return err
}

// admit lets waiting threads into the handler, for which the freeze signal is pending.
func (h *Tracer) admit() {
	if !h.admits || !h.hasEntered() {
		return
	}
	for _, t := range h.threads {
		if t.state != waiting {
			continue
		}
		s, err := proc.Read(h.pid, fmt.Sprintf("task/%d/status", t.tid), proc.Status)
		if err != nil || s.SigPnd&freezeBit == 0 && (s.ShdPnd&freezeBit == 0 || h.isInside()) {
			continue
		}
		if h.enter(t, proc.Innermost(s.NSpid, t.tid)); !h.hasEntered() {
			return
		}
	}
}

func (h *Tracer) isInside() bool {
	for _, t := range h.threads {
		if t.state != waiting {
			return true
		}
	}
	return false
}

// enter lets a thread into the handler. tid is its TID in its own PID namespace.
func (h *Tracer) enter(t *tracedThread, tid int) {
	if h.record == 0 && (h.findRecord() != nil || h.record == 0) {
		return
	}
	record := abi.Admission{Tid: int32(tid)}
	if mask, err := maskOf(t.tid); err != nil {
		return
	} else {
		record.Mask = mask
	}
	if h.write(t.tid, record) != nil || setMask(t.tid, admitting) != nil {
		return
	}
	t.state, h.entering, h.mask = inside, t, record.Mask
	h.goOn(t, 0)
}

// hasEntered tells whether the last thread that was to enter the handler has done so. It waits a moment for that.
func (h *Tracer) hasEntered() bool {
	for range looksEntered {
		t := h.entering
		if t == nil {
			return true
		}
		for h.event(t) {
		}
		if record, err := h.read(t.tid); err != nil || record.Tid == 0 || h.threads[t.tid] != t {
			h.entering = nil
		}
		busypoll.Yield()
	}
	return h.entering == nil
}

// returned is called when a thread has returned from a handler. If that was another handler, it has not taken the mask.
func (h *Tracer) returned(t *tracedThread) {
	if h.entering != t {
		return
	}
	if record, err := h.read(t.tid); err == nil && record.Tid != 0 && setMask(t.tid, h.mask) == nil {
		h.write(t.tid, abi.Admission{})
	}
	h.entering = nil
}

// giveMaskBack sets the mask of a thread that a killed tracer has not let into the handler any more. Preconditions: all threads are waiting.
func (h *Tracer) giveMaskBack() {
	if h.record == 0 {
		return
	}
	for _, t := range h.threads {
		record, err := h.read(t.tid)
		if err != nil || record.Tid == 0 {
			return
		}
		mask, err := maskOf(t.tid)
		if err != nil || mask != admitting {
			continue
		}
		s, err := proc.Read(h.pid, fmt.Sprintf("task/%d/status", t.tid), proc.Status)
		if err == nil && proc.Innermost(s.NSpid, t.tid) == int(record.Tid) && setMask(t.tid, record.Mask) == nil {
			h.write(t.tid, abi.Admission{})
		}
	}
}

func maskOf(tid int) (mask uint64, err error) {
	err = ptrace(ptraceGetMask, tid, maskSize, uintptr(unsafe.Pointer(&mask)))
	return mask, err
}

func setMask(tid int, mask uint64) error {
	return ptrace(ptraceSetMask, tid, maskSize, uintptr(unsafe.Pointer(&mask)))
}

// read reads the record. tid is any live thread of the process.
func (h *Tracer) read(tid int) (record abi.Admission, err error) {
	n, err := unix.ProcessVMReadv(tid, local(&record), h.remote(), 0)
	if err == nil && n != abi.AdmissionSize {
		err = unix.EFAULT
	}
	return record, err
}

func (h *Tracer) write(tid int, record abi.Admission) error {
	n, err := unix.ProcessVMWritev(tid, local(&record), h.remote(), 0)
	if err == nil && n != abi.AdmissionSize {
		err = unix.EFAULT
	}
	return err
}

func local(record *abi.Admission) []unix.Iovec {
	return []unix.Iovec{{Base: (*byte)(unsafe.Pointer(record)), Len: abi.AdmissionSize}}
}

func (h *Tracer) remote() []unix.RemoteIovec {
	return []unix.RemoteIovec{{Base: uintptr(h.record), Len: abi.AdmissionSize}}
}
