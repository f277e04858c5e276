package lab

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// An Identity is who programs and crak run as in a script.
type Identity struct {
	Name string // "root" or "user"
	UID  uint32
	GID  uint32
}

// Ordinary is the made-up user of a lab that is run by root: it owns nothing and has no name.
var Ordinary = Identity{Name: "user", UID: 12345, GID: 12345}

// Identities are those that the caller can be: root and Ordinary for root, itself for a user.
func Identities() []Identity {
	if os.Geteuid() == 0 {
		return []Identity{{Name: "root"}, Ordinary}
	}
	return []Identity{{Name: "user", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}}
}

// header is the comment in a script that says who it is for; without one it is for everybody.
// It stands on a line of its own before the first command.
const header = "# as: "

// For reports whether a script is for this identity.
func (id Identity) For(script []byte) bool {
	for line := range bytes.Lines(script) {
		if !bytes.HasPrefix(line, []byte("#")) {
			break
		}
		if name, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte(header)); ok {
			return string(name) == id.Name
		}
	}
	return true
}

// scripts are the files of a run that are for this identity.
func (id Identity) scripts(p Params) ([]string, error) {
	files := p.Files
	if files == nil {
		var err error
		files, err = filepath.Glob(filepath.Join(p.Dir, "*.txtar"))
		if err != nil {
			return nil, err
		}
	}
	var mine []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if id.For(data) {
			mine = append(mine, file)
		}
	}
	return mine, nil
}

// attributes are those of a process of the identity in a process group of its own.
func (id Identity) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if uint32(os.Geteuid()) != id.UID {
		attr.Credential = &syscall.Credential{Uid: id.UID, Gid: id.GID, Groups: []uint32{}}
	}
	return attr
}

// own gives a tree of files to the identity.
func (id Identity) own(dir string) error {
	if uint32(os.Geteuid()) == id.UID {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(id.UID), int(id.GID))
	})
}
