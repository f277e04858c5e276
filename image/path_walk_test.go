package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Two user IDs that the machine does not use.
const (
	victim   = 41234
	attacker = 41235
)

// ground is a directory in which root, the victim and the attacker have directories.
type ground struct {
	t   *testing.T
	dir string
}

func newGround(t *testing.T) *ground {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make files of other users")
	}
	dir, err := os.MkdirTemp("", "crak")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &ground{t, dir}
	g.own(dir, 0, 0o755)
	return g
}

func (g *ground) path(name string) string { return filepath.Join(g.dir, name) }

func (g *ground) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *ground) own(path string, uid int, mode uint32) {
	g.t.Helper()
	g.must(os.Lchown(path, uid, uid))
	g.must(unix.Chmod(path, mode))
}

// directory makes a directory with an owner and a mode.
func (g *ground) directory(name string, uid int, mode uint32) string {
	g.t.Helper()
	g.must(os.Mkdir(g.path(name), 0o700))
	g.own(g.path(name), uid, mode)
	return g.path(name)
}

func (g *ground) link(name, target string, uid int) string {
	g.t.Helper()
	g.must(os.Symlink(target, g.path(name)))
	g.must(os.Lchown(g.path(name), uid, uid))
	return g.path(name)
}

// image makes an image of user uid, in a directory that root made.
func (g *ground) image(dir string, uid int) string {
	g.t.Helper()
	path := goodImage(g.t, dir, Options{})
	g.must(filepath.Walk(filepath.Dir(path), func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	}))
	return path
}

func openAs(uid int, path string) error {
	return asUser(uid, func() error {
		i, err := Open(path)
		if err == nil {
			i.Close()
		}
		return err
	})
}

func createAs(uid int, dir string) error {
	return asUser(uid, func() error {
		w, err := Create(dir, Options{Program: "app", Pid: 412})
		if err == nil {
			w.Abort()
		}
		return err
	})
}

func (g *ground) wantError(err error, want string) {
	g.t.Helper()
	if want == "" {
		if err != nil {
			g.t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		g.t.Errorf("accepted; want an error with %q", want)
	} else if !strings.Contains(err.Error(), want) {
		g.t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

// TestPlanted opens images that another user has made, or can replace.
func TestPlanted(t *testing.T) {
	for name, v := range map[string]struct {
		plant func(g *ground) (path string)
		uid   int
		want  string // in the error; empty: opened
	}{
		"own":                         {func(g *ground) string { return g.image(g.directory("d", victim, 0o700), victim) }, victim, ""},
		"own, under root's directory": {func(g *ground) string { return g.image(g.dir, victim) }, victim, ""},
		"own, where anybody makes entries": {func(g *ground) string {
			return g.image(g.directory("d", 0, 0o1777), victim)
		}, victim, ""},
		"own, by a link of one's own": {func(g *ground) string {
			g.image(g.directory("d", victim, 0o700), victim)
			return g.link("link", "d/app.412", victim)
		}, victim, ""},
		"another user's, as root": {func(g *ground) string {
			return g.image(g.directory("d", attacker, 0o755), attacker)
		}, 0, "belongs to user 41235, not to user 0 or root"},
		"another user's, where anybody makes entries": {func(g *ground) string {
			return g.image(g.directory("d", 0, 0o1777), attacker)
		}, 0, "belongs to user 41235"},
		"another user's, as a user": {func(g *ground) string {
			path := g.image(g.directory("d", 0, 0o1777), attacker)
			g.must(filepath.Walk(g.path("d/app.412"), func(path string, _ os.FileInfo, _ error) error { return unix.Chmod(path, 0o755) }))
			return path
		}, victim, "belongs to user 41235, not to user 41234 or root"},
		"own, in another user's directory": {func(g *ground) string {
			return g.image(g.directory("d", attacker, 0o755), victim)
		}, victim, "d: directory: belongs to user 41235"},
		"root's, in a user's directory": {func(g *ground) string {
			return g.image(g.directory("d", attacker, 0o755), 0)
		}, 0, "d: directory: belongs to user 41235"},
		"own, further down in another user's directory": {func(g *ground) string {
			g.directory("d", attacker, 0o755)
			return g.image(g.directory("d/e", victim, 0o700), victim)
		}, victim, "d: directory: belongs to user 41235"},
		"where everybody can rename": {func(g *ground) string {
			return g.image(g.directory("d", victim, 0o777), victim)
		}, victim, "d: directory: every user can write to it"},
		"where a group can rename": {func(g *ground) string {
			return g.image(g.directory("d", victim, 0o770), victim)
		}, victim, "d: directory: group 41234 can write to it"},
		"in a program's directory that everybody can write to": {func(g *ground) string {
			path := g.image(g.directory("d", victim, 0o700), victim)
			g.own(filepath.Dir(path), victim, 0o1777)
			g.own(path, attacker, 0o755)
			return filepath.Dir(path)
		}, victim, "1: directory: belongs to user 41235"},
		"that everybody can write to": {func(g *ground) string {
			path := g.image(g.directory("d", victim, 0o700), victim)
			g.own(path, victim, 0o1777)
			return path
		}, victim, "1: directory: every user can write to it"},
		"by a link of another user": {func(g *ground) string {
			g.image(g.directory("d", victim, 0o700), victim)
			g.directory("tmp", 0, 0o1777)
			return g.link("tmp/link", "../d/app.412", attacker)
		}, victim, "symbolic link: belongs to user 41235"},
		"by a link on the way": {func(g *ground) string {
			g.image(g.directory("d", 0, 0o755), 0)
			g.directory("tmp", 0, 0o1777)
			return g.link("tmp/link", "../d", attacker) + "/app.412/1"
		}, 0, "symbolic link: belongs to user 41235"},
		"with a file of another user": {func(g *ground) string {
			path := g.image(g.directory("d", victim, 0o700), victim)
			g.own(filepath.Join(path, groupFile), attacker, 0o644)
			return path
		}, victim, "group.json: belongs to user 41235"},
		"with a file that everybody can write to": {func(g *ground) string {
			path := g.image(g.directory("d", victim, 0o700), victim)
			g.own(filepath.Join(path, groupFile), victim, 0o666)
			return path
		}, victim, "group.json: every user can write to it"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			g.wantError(openAs(v.uid, v.plant(g)), v.want)
		})
	}
}

// TestPlantedNewest checks that a search for the newest image ignores images of other users.
func TestPlantedNewest(t *testing.T) {
	g := newGround(t)
	shared := g.directory("shared", 0, 0o1777)
	planted := filepath.Dir(g.image(shared, attacker))
	g.must(os.Rename(planted, filepath.Join(shared, "zapp.9999")))
	notices := 0
	newest := func(uid int) (path string, err error) {
		notices = 0
		err = asUser(uid, func() (err error) {
			path, err = Newest(shared, func(text string) {
				notices++
				if !strings.Contains(text, "zapp.9999") || !strings.Contains(text, "belongs to user 41235") {
					t.Errorf("notice: %s", text)
				}
			})
			return err
		})
		return path, err
	}
	for _, uid := range []int{0, victim} {
		if path, err := newest(uid); !errors.Is(err, ErrNone) || notices != 1 {
			t.Errorf("user %d: %q, %v, %d notices; want none", uid, path, err, notices)
		}
		own := g.image(shared, uid)
		if path, err := newest(uid); err != nil || path != own || notices != 1 {
			t.Errorf("user %d: %q, %v, %d notices; want %q", uid, path, err, notices, own)
		}
		g.must(os.RemoveAll(filepath.Dir(own)))
	}
	// A directory of another user that looks like a damaged image does not stop the search.
	g.must(os.Truncate(filepath.Join(shared, "zapp.9999/1", manifestFile), 0))
	if _, err := newest(victim); !errors.Is(err, ErrNone) {
		t.Errorf("damaged image of another user: %v", err)
	}
	// If other users can rename the images, the search cannot know which one is the newest.
	g.own(shared, 0, 0o777)
	_, err := newest(victim)
	g.wantError(err, "every user can write to it")
}

// TestPlantedPlace checks that the writer writes nothing into a directory that another user has made.
func TestPlantedPlace(t *testing.T) {
	g := newGround(t)
	g.directory("tmp", 0, 0o1777)
	for _, uid := range []int{0, victim} {
		g.directory("tmp/app.412", attacker, 0o777)
		g.wantError(createAs(uid, g.path("tmp")), "tmp/app.412: directory: belongs to user 41235")
		g.must(os.Remove(g.path("tmp/app.412")))

		g.directory("tmp/app.412", uid, 0o777)
		g.wantError(createAs(uid, g.path("tmp")), "tmp/app.412: directory: every user can write to it")
		g.must(os.Remove(g.path("tmp/app.412")))

		g.directory("mine", uid, 0o700)
		g.link("tmp/link", "../mine", attacker)
		g.wantError(createAs(uid, g.path("tmp/link")), "tmp/link: symbolic link: belongs to user 41235")
		g.must(os.Remove(g.path("tmp/link")))
		g.link("tmp/link", "../mine", uid)
		g.wantError(createAs(uid, g.path("tmp/link")), "")
		g.must(os.Remove(g.path("tmp/link")))
		g.must(os.RemoveAll(g.path("mine")))
	}
}
