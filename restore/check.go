package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
	"crak.dev/crak/internal/host"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

func check(img *image.Image, env *fd.Env) (obstacle.List, error) {
	have, err := host.Read()
	if err != nil {
		return nil, err
	}
	env.Know(img.Group)
	all := checkHost(img.Manifest.Host, have)
	known := newSeen()
	self, err := proc.Read(0, "status", proc.Status)
	if err != nil {
		return nil, err
	}
	for i := range img.Group.Processes {
		p := &img.Group.Processes[i]
		all = append(all, checkVDSO(p, img.Manifest.Host, have)...)
		all = append(all, checkMapped(p, env, known)...)
		env.Moved()
		all = append(all, checkPlaces(p)...)
		all = append(all, checkAIO(p)...)
		all = append(all, checkIDs(p, &self)...)
	}
	all = append(all, checkDescriptors(img.Group, env, descriptorLimit())...)
	return append(all, fd.CheckGroup(img.Group, env)...), nil
}

// userFeatures are the CPU features that a program can use without the kernel, by their names in /proc/cpuinfo. The other
// names there are features that only the kernel uses.
const userFeatures = ` cmov cx8 cx16 mmx fxsr sse sse2 pni ssse3 sse4_1 sse4_2 sse4a popcnt abm bmi1 bmi2 avx avx2 fma
fma4 xop tbm f16c movbe aes vaes pclmulqdq vpclmulqdq sha_ni sha512 sm3 sm4 rdrand rdseed adx gfni lahf_lm 3dnow 3dnowext
xsave xsaveopt xsavec xgetbv1 avx_vnni avx_vnni_int8 avx_vnni_int16 avx_ifma avx_ne_convert amx_tile amx_int8 amx_bf16 amx_fp16
amx_complex cmpccxadd fsgsbase rdtscp rdpid clflush clflushopt clwb cldemote clzero erms fsrm movdiri movdir64b serialize
waitpkg rtm hle pku ospke prefetchwt1 3dnowprefetch user_shstk ptwrite tsxldtrk wbnoinvd lwp raoint `

func usedByPrograms(feature string) bool {
	return strings.HasPrefix(feature, "avx512") || strings.HasPrefix(feature, "avx10") ||
		strings.Contains(strings.ReplaceAll(userFeatures, "\n", " "), " "+feature+" ")
}

func checkHost(want, have image.Host) (all obstacle.List) {
	if want.Machine != have.Machine {
		all = append(all, obstacle.Obstacle{What: "machine " + have.Machine, Why: "the image is of a " + want.Machine,
			Do: "restart it on a " + want.Machine})
	}
	var missing []string
	for _, feature := range host.Missing(want, have) {
		if usedByPrograms(feature) {
			missing = append(missing, feature)
		}
	}
	if len(missing) > 0 {
		all = append(all, obstacle.Obstacle{What: "processor", Why: "lacks " + strings.Join(missing, ", ") + ", which the program may be using",
			Do: "restart it on a processor that has them, as " + want.Hostname + " does"})
	}
	return all
}

// checkVDSO refuses an image of another kernel that has no copy of that kernel's vDSO.
func checkVDSO(p *image.Process, want, have image.Host) obstacle.List {
	if want.VDSOSum == have.VDSOSum || len(p.VDSO) > 0 {
		return nil
	}
	return obstacle.List{{Pid: int(p.Pid), What: "kernel " + have.Kernel, Why: "has another vDSO than " + want.Kernel + ", on which the image was made",
		Do: "restart it under the kernel it was made on"}}
}

// checkIDs finds user and group IDs of a member that crak cannot set.
func checkIDs(p *image.Process, self *proc.StatusInfo) obstacle.List {
	const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	if self.CapEff&needed == needed {
		return nil
	}
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	for i := range p.Threads {
		c := &p.Threads[i].Credentials
		if c.UID != [4]uint32{uid, uid, uid, uid} || c.GID != [4]uint32{gid, gid, gid, gid} {
			return obstacle.List{{Pid: int(p.Pid), What: fmt.Sprintf("user %d, group %d", c.UID[1], c.GID[1]),
				Why: fmt.Sprintf("user %d, group %d cannot change to them", uid, gid), Do: "restart it as that user, or as root"}}
		}
	}
	return nil
}

// checkPlaces checks a member's working directory and root directory.
func checkPlaces(p *image.Process) (all obstacle.List) {
	path, removed := removedDirectory(p.Cwd)
	if removed {
		if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
			all = append(all, obstacle.Obstacle{Pid: int(p.Pid), Where: "working directory", What: p.Cwd,
				Why: "it was removed before the checkpoint, and cannot be made again: " + err.Error(), Do: toReach(err, "make the directory that it was in")})
		}
	} else if !ownDirectory(p) {
		if err := fd.CheckDirectory(p, path); err != nil {
			all = append(all, obstacle.Obstacle{Pid: int(p.Pid), Where: "working directory", What: p.Cwd, Why: cause.Of(err).Error(), Do: toReach(err, "make it again, or restart with --path OLD=NEW if it has moved")})
		}
	}
	if p.RootDir != "/" && p.RootDir != "" {
		all = append(all, obstacle.Obstacle{Pid: int(p.Pid), Where: "root directory", What: p.RootDir, Why: "cannot be restored yet",
			Do: "run crak restart with chroot, and the program without"})
	}
	return all
}

// toReach says what the user can do about a directory that crak cannot open.
func toReach(err error, otherwise string) string {
	if errors.Is(err, fd.ErrLinked) {
		return "restart with --path OLD=NEW, or mount the directory at its old path (mount --bind)"
	}
	if errors.Is(err, os.ErrPermission) {
		return "restart as a user who has access to it, or give it"
	}
	return otherwise
}
