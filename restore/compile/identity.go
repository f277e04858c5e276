package compile

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

func prctl(b *program.Builder, args ...program.Arg) *program.Builder {
	return b.Call(unix.SYS_PRCTL, args...)
}

// attributes restores what belongs to the whole process. Threads inherit the personality.
func (c *compiler) attributes() {
	p, a := c.process, &c.process.Attributes
	c.workingDirectory()
	c.b.Call(unix.SYS_UMASK, program.Const(p.Umask)).Any()
	c.b.Call(unix.SYS_PERSONALITY, program.Const(a.Personality))
	if a.ChildSubreaper != c.node.adopts {
		c.tree.orphans.await(c.b, "every orphan has its parent")
		prctl(c.b, program.Const(unix.PR_SET_CHILD_SUBREAPER), onOff(a.ChildSubreaper))
	}
	if a.THPDisable {
		flags := 0
		if a.THPExceptAdvised {
			flags = 2 // PR_THP_DISABLE_EXCEPT_ADVISED
		}
		prctl(c.b, program.Const(unix.PR_SET_THP_DISABLE), program.Const(1), program.Const(flags), program.Const(0), program.Const(0))
	}
	if a.MDWE != 0 {
		prctl(c.b, program.Const(unix.PR_SET_MDWE), program.Const(a.MDWE), program.Const(0), program.Const(0), program.Const(0))
	}
	if a.MemoryMerge {
		prctl(c.b, program.Const(unix.PR_SET_MEMORY_MERGE), program.Const(1), program.Const(0), program.Const(0), program.Const(0)).MayFail()
	}
	if a.FutexSlots != nil { // before the first thread, with which the kernel would choose
		prctl(c.b, program.Const(unix.PR_FUTEX_HASH), program.Const(unix.PR_FUTEX_HASH_SET_SLOTS), program.Const(*a.FutexSlots), program.Const(0)).
			MayFail().Note("table of futexes")
	}
	for registrations := a.Membarrier; registrations != 0; registrations &= registrations - 1 {
		c.b.Call(unix.SYS_MEMBARRIER, program.Const(registrations&-registrations), program.Const(0)).Note("registration")
	}
	c.extendedStates()
	switch a.MachineCheck {
	case 1:
		c.machineCheck(unix.PR_MCE_KILL_EARLY)
	case 2:
		c.machineCheck(unix.PR_MCE_KILL_LATE)
	}
	if a.NoTimestamp {
		prctl(c.b, program.Const(unix.PR_SET_TSC), program.Const(unix.PR_TSC_SIGSEGV))
	}
}

func (c *compiler) machineCheck(policy int) {
	prctl(c.b, program.Const(unix.PR_MCE_KILL), program.Const(unix.PR_MCE_KILL_SET), program.Const(policy), program.Const(0), program.Const(0)).MayFail()
}

// lockFuture restores mlockall(2). It comes after the last mapping, which it would lock.
func (c *compiler) lockFuture() {
	flags := 0
	if c.process.Attributes.LockFuture {
		flags |= unix.MCL_FUTURE
	}
	if c.process.Attributes.LockFutureOnFault {
		flags |= unix.MCL_FUTURE | unix.MCL_ONFAULT
	}
	if flags != 0 {
		c.b.Call(unix.SYS_MLOCKALL, program.Const(flags)).MayFail()
	}
}

// workingDirectory changes to the working directory. Its recorded path has no symbolic links, so none is followed. The
// process opens the directory itself: one that was opened in another mount namespace has no path in this one (getcwd(2)). If it was
// removed before the checkpoint, crak has made and removed it again.
func (c *compiler) workingDirectory() {
	path := c.process.Cwd
	if c.process.Removed >= 0 {
		c.b.Call(unix.SYS_FCHDIR, program.Const(c.process.Removed)).Note(path)
		return
	}
	name := c.set.String(path)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	directory := c.b.Call(unix.SYS_OPENAT2, program.Const(unix.AT_FDCWD), name, c.set.Struct(how), program.Const(unix.SizeofOpenHow)).
		Note(path).Keep().Arg()
	c.b.Call(unix.SYS_FCHDIR, directory)
}

// limits restores the resource limits. It comes after all calls that they could forbid. To raise a hard limit above the
// interpreter's needs a privilege: this is tried after the limit that needs none.
func (c *compiler) limits() {
	for _, l := range c.process.Limits {
		if l.Resource == unix.RLIMIT_CPU {
			l = remaining(l, c.process.CPU.SinceNs)
		}
		soft, hard := min(l.Soft, c.target.HardLimits[l.Resource]), min(l.Hard, c.target.HardLimits[l.Resource])
		c.limit(l.Resource, soft, hard)
		if hard < l.Hard {
			c.limit(l.Resource, l.Soft, l.Hard).MayFail().Note(fmt.Sprintf("else the limit is %s (hard %s), and was %s (hard %s)",
				limitText(soft), limitText(hard), limitText(l.Soft), limitText(l.Hard)))
		}
	}
}

func limitText(v uint64) string {
	if v == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(v, 10)
}

// remaining subtracts used CPU time from a limit, because the kernel counts from 0 again. It leaves at least one second.
func remaining(l image.Limit, usedNs int64) image.Limit {
	less := func(seconds uint64) uint64 {
		used := uint64(usedNs / 1e9)
		switch {
		case seconds == unix.RLIM_INFINITY:
			return seconds
		case seconds <= used:
			return 1
		}
		return seconds - used
	}
	l.Soft, l.Hard = less(l.Soft), less(l.Hard)
	return l
}

func (c *compiler) limit(resource int, soft, hard uint64) *program.Builder {
	return c.b.Call(unix.SYS_PRLIMIT64, program.Const(0), program.Const(resource),
		c.set.Struct(unix.Rlimit{Cur: soft, Max: hard}), program.Const(0))
}

// capabilityHeader and capabilityData are of linux/capability.h, version 3: two words for each set.
type capabilityHeader struct {
	Version uint32
	Pid     int32
}

type capabilityData [2]struct{ Effective, Permitted, Inheritable uint32 }

const capabilityVersion3 = 0x20080522

// become gives a thread its IDs and capabilities, as far as they differ from the interpreter's.
//
// The bounding set comes first, because it needs CAP_SETPCAP. Then come the IDs: the permitted set is kept when they
// change. Then all capability sets are set at once.
func (c *compiler) become(b *program.Builder, want *image.Credentials) {
	have := &c.target.Credentials
	for drop := have.Bounding &^ want.Bounding; drop != 0; drop &= drop - 1 {
		prctl(b, program.Const(unix.PR_CAPBSET_DROP), program.Const(bits.TrailingZeros64(drop))).MayFail()
	}
	c.ids(b, want)
	if want.SecureBits != have.SecureBits {
		prctl(b, program.Const(unix.PR_SET_SECUREBITS), program.Const(want.SecureBits)).MayFail()
	}
	if c.process.Attributes.KeepCaps != c.changesIDs(want) {
		prctl(b, program.Const(unix.PR_SET_KEEPCAPS), onOff(c.process.Attributes.KeepCaps)).MayFail()
	}
	if c.changesIDs(want) || want.Permitted != have.Permitted || want.Effective != have.Effective || want.Inheritable != have.Inheritable {
		c.capabilities(b, want.Effective, want.Permitted, want.Inheritable)
	}
	if want.Ambient != have.Ambient {
		prctl(b, program.Const(unix.PR_CAP_AMBIENT), program.Const(unix.PR_CAP_AMBIENT_CLEAR_ALL), program.Const(0), program.Const(0), program.Const(0))
		for raise := want.Ambient & have.Permitted; raise != 0; raise &= raise - 1 {
			prctl(b, program.Const(unix.PR_CAP_AMBIENT), program.Const(unix.PR_CAP_AMBIENT_RAISE),
				program.Const(bits.TrailingZeros64(raise)), program.Const(0), program.Const(0)).MayFail()
		}
	}
	if want.NoNewPrivs && !have.NoNewPrivs {
		prctl(b, program.Const(unix.PR_SET_NO_NEW_PRIVS), program.Const(1), program.Const(0), program.Const(0), program.Const(0))
	}
}

func onOff(on bool) program.Arg {
	if on {
		return program.Const(1)
	}
	return program.Const(0)
}

func (c *compiler) changesIDs(want *image.Credentials) bool {
	return want.UID != c.target.Credentials.UID || want.GID != c.target.Credentials.GID || c.changesGroups(want)
}

// changesGroups is false in a user namespace of an ordinary user: setgroups(2) is forbidden there.
func (c *compiler) changesGroups(want *image.Credentials) bool {
	return !c.target.Mode.UserNamespace && !slices.Equal(want.Groups, c.target.Credentials.Groups)
}

// ids changes the IDs. It keeps the permitted set, and makes all of it effective, until become sets the final sets.
func (c *compiler) ids(b *program.Builder, want *image.Credentials) {
	if !c.changesIDs(want) {
		return
	}
	have := &c.target.Credentials
	prctl(b, program.Const(unix.PR_SET_KEEPCAPS), program.Const(1))
	if c.changesGroups(want) {
		b.Call(unix.SYS_SETGROUPS, program.Const(len(want.Groups)), c.set.Struct(want.Groups))
	}
	g, u := want.GID, want.UID
	b.Call(unix.SYS_SETRESGID, program.Const(g[0]), program.Const(g[1]), program.Const(g[2]))
	b.Call(unix.SYS_SETFSGID, program.Const(g[3])).Any()
	b.Call(unix.SYS_SETRESUID, program.Const(u[0]), program.Const(u[1]), program.Const(u[2]))
	b.Call(unix.SYS_SETFSUID, program.Const(u[3])).Any()
	c.capabilities(b, have.Permitted, have.Permitted, have.Inheritable)
}

// capabilities sets the capability sets, without what the interpreter does not have.
func (c *compiler) capabilities(b *program.Builder, effective, permitted, inheritable uint64) {
	permitted &= c.target.Credentials.Permitted
	effective &= permitted
	inheritable &= c.target.Credentials.Permitted | c.target.Credentials.Inheritable
	var d capabilityData
	for i := range d {
		d[i].Effective, d[i].Permitted, d[i].Inheritable = uint32(effective>>(32*i)), uint32(permitted>>(32*i)), uint32(inheritable>>(32*i))
	}
	b.Call(unix.SYS_CAPSET, c.set.Variable(program.Raw(capabilityHeader{Version: capabilityVersion3})), c.set.Struct(d))
}
