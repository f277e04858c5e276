package lab

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// An Identity is the user as whom programs and crak run in a script.
type Identity struct {
	Name string // "root" or "user"
	UID  uint32
	GID  uint32
}

// Ordinary is the ordinary user of a lab that root runs. This user has no name and owns no files.
var Ordinary = Identity{Name: "user", UID: 12345, GID: 12345}

// Identities are the users as whom the caller can run scripts: root can run them as root and as Ordinary, any other user as that user.
func Identities() []Identity {
	if os.Geteuid() == 0 {
		return []Identity{{Name: "root"}, Ordinary}
	}
	return []Identity{{Name: "user", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}}
}

// header begins the comment that says for which identity a script is. A script without this comment is for all of them. The comment is
// on a line of its own before the first command.
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

// scripts are the scripts of a run that are for this identity.
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

// attributes make a new process run as the identity, in a process group of its own. Root gets the groups that it has after a login.
func (id Identity) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	switch {
	case uint32(os.Geteuid()) != id.UID:
		attr.Credential = &syscall.Credential{Uid: id.UID, Gid: id.GID, Groups: []uint32{}}
	case id.UID == 0:
		attr.Credential = &syscall.Credential{Groups: []uint32{0}}
	}
	return attr
}

// own makes the identity the owner of a tree of files.
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
