package image

import (
	"errors"
	"fmt"
)

// SysV is what a restart restores of the struct ipc_perm of a System V object (sysvipc(7)).
type SysV struct {
	ID      int    `json:"id"`
	Key     int32  `json:"key"`
	Mode    uint32 `json:"mode"`
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	Creator uint32 `json:"creator,omitempty"` // user ID of its creator, who keeps the rights of an owner
	Removed bool   `json:"removed,omitempty"` // SHM_DEST: the kernel removes the segment after the last detach
	Locked  bool   `json:"locked,omitempty"`  // SHM_LOCKED: its pages stay in memory
}

// SemaphoreSet is a System V semaphore set (semget(2)).
type SemaphoreSet struct {
	SysV   SysV     `json:"sysv"`
	Values []uint16 `json:"values"`
	Undo   []Undo   `json:"undo,omitempty"`
}

// Undo is what the kernel adds to a semaphore when a process ends (SEM_UNDO in semop(2)).
type Undo struct {
	Pid       Pid `json:"pid"`
	Semaphore int `json:"semaphore"` // index in Values
	Value     int `json:"value"`
}

// MessageQueue is a System V message queue (msgget(2)).
type MessageQueue struct {
	SysV     SysV      `json:"sysv"`
	Limit    uint64    `json:"limit"` // msg_qbytes
	Messages []Message `json:"messages,omitempty"`
}

// Message is a message of a MessageQueue.
type Message struct {
	Type int64  `json:"type"`
	Text []byte `json:"text,omitempty"`
}

// Bounds of System V objects, as the kernel has them.
const (
	MostSemaphoreValue = 32767   // SEMVMX
	mostUndo           = 32768   // SEMAEM + 1
	mostSemaphores     = 1 << 16 // of a set: sembuf.sem_num has 16 bits
)

// sysv checks the System V objects. Preconditions: processes has succeeded.
func (c *checker) sysv(g *Group) error {
	sets, queues := make(map[int]bool), make(map[int]bool)
	for i := range g.Semaphores {
		if err := c.semaphores(&g.Semaphores[i], sets); err != nil {
			return fmt.Errorf("semaphores[%d].%w", i, err)
		}
	}
	for i := range g.Queues {
		if err := c.messageQueue(&g.Queues[i], queues); err != nil {
			return fmt.Errorf("queues[%d].%w", i, err)
		}
	}
	return nil
}

// check checks what sets and queues have in common. seen has the IDs of the others of the same kind.
func (v *SysV) check(seen map[int]bool) error {
	switch {
	case v.ID < 0 || seen[v.ID]:
		return fmt.Errorf("sysv.id: %d: not a new number from 0", v.ID)
	case v.Mode > 0o777:
		return fmt.Errorf("sysv.mode: %#o: more than permissions", v.Mode)
	case v.Removed:
		return errors.New("sysv.removed: only a segment can exist after its removal")
	case v.Locked:
		return errors.New("sysv.locked: only a segment can be locked")
	}
	seen[v.ID] = true
	return nil
}

func (c *checker) semaphores(s *SemaphoreSet, seen map[int]bool) error {
	if err := s.SysV.check(seen); err != nil {
		return err
	}
	if n := len(s.Values); n == 0 || n > mostSemaphores {
		return fmt.Errorf("values: %d of them: not from 1 to %d", n, mostSemaphores)
	}
	for i, v := range s.Values {
		if v > MostSemaphoreValue {
			return fmt.Errorf("values[%d]: %d: more than %d", i, v, MostSemaphoreValue)
		}
	}
	type owner struct {
		pid       Pid
		semaphore int
	}
	known := make(map[owner]bool)
	for i, u := range s.Undo {
		switch {
		case !c.pids[u.Pid]:
			return fmt.Errorf("undo[%d].pid: %d: not one of the processes", i, u.Pid)
		case u.Semaphore < 0 || u.Semaphore >= len(s.Values):
			return fmt.Errorf("undo[%d].semaphore: %d: not one of the set", i, u.Semaphore)
		case u.Value == 0 || u.Value < -mostUndo || u.Value >= mostUndo:
			return fmt.Errorf("undo[%d].value: %d: not from %d to %d without 0", i, u.Value, -mostUndo, mostUndo-1)
		case known[owner{u.Pid, u.Semaphore}]:
			return fmt.Errorf("undo[%d]: a second one of process %d for semaphore %d", i, u.Pid, u.Semaphore)
		}
		known[owner{u.Pid, u.Semaphore}] = true
	}
	return nil
}

func (c *checker) messageQueue(q *MessageQueue, seen map[int]bool) error {
	if err := q.SysV.check(seen); err != nil {
		return err
	}
	if q.Limit >= maxObject {
		return fmt.Errorf("limit: %d: too large", q.Limit)
	}
	for i, m := range q.Messages {
		if m.Type < 1 {
			return fmt.Errorf("messages[%d].type: %d: not positive", i, m.Type)
		}
	}
	return nil
}
