package restore

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/restore/handmade"
	"crak.dev/crak/restore/program"
)

// TestDeadLeaderWhileThreadsArrive: a thread group leader that had exited before the checkpoint exits again before the other threads run. crak
// does not take the process for one that has ended, however long the other threads take.
func TestDeadLeaderWhileThreadsArrive(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	g := handmade.Group(aPid(t), me())
	p := &g.Processes[0]
	thread := p.Threads[0]
	thread.Parked.Tid++
	p.Threads = append(p.Threads, thread)
	p.Threads[0].Parked = abi.Thread{Tid: int32(p.Pid), Flags: abi.ThreadDead, Syscall: -1}
	img, err := image.Open(writeImage(t, g, says))
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	err = restartHere(img, func(s *program.Set) {
		slow := s.Struct(unix.Timespec{Nsec: 300_000_000}) // crak looks at the process after 20 ms
		last := s.Programs[len(s.Programs)-1]
		last.Instructions = slices.Insert(last.Instructions, len(last.Instructions)-1,
			program.Instruction{Op: program.Call, Number: unix.SYS_NANOSLEEP, Args: [6]program.Arg{slow}, Slot: program.NoSlot})
	})
	if err != nil {
		t.Error(err)
	}
	noStray(t, g.Root)
}
