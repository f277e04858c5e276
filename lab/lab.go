package lab

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Params say what a lab runs and with which tools. The zero value finds everything by
// itself: crak and libcrak.so by the environment variables CRAK and CRAK_LIBRARY, or in a
// build directory here or in a directory above.
type Params struct {
	Dir        string        // directory of the scripts; not used where Files is set
	Files      []string      // the scripts
	Crak       string        // path of crak
	Library    string        // path of libcrak.so
	Programs   string        // directory of C programs that scripts name; Dir/programs if empty
	Include    string        // directory of crak.h
	Cache      string        // directory of compiled programs, kept from run to run; none if empty
	Identities []Identity    // who the scripts run as; see Identities
	Parallel   int           // scripts at a time; 2 if 0
	Bound      time.Duration // longest wait for anything; 30 s if 0
	Keep       bool          // do not remove the scripts' work directories
}

// Lab is the shared part of a run of scripts: tools in a directory that every identity may
// read, and the number of scripts at a time.
type Lab struct {
	params  Params
	tools   string // crak, libcrak.so and bin/
	crak    string
	library string
	slots   chan struct{}
	build   builder
}

// New makes a lab. Close removes what it made.
func New(p Params) (*Lab, error) {
	p.defaults()
	if err := settle(); err != nil {
		return nil, err
	}
	l := &Lab{params: p, slots: make(chan struct{}, p.Parallel)}
	tools, err := os.MkdirTemp("", "crak-lab")
	if err != nil {
		return nil, err
	}
	l.tools = tools
	if err := l.install(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close removes the lab's tools.
func (l *Lab) Close() error { return os.RemoveAll(l.tools) }

func (p *Params) defaults() {
	if p.Crak == "" {
		p.Crak = find("CRAK", "crak")
	}
	if p.Library == "" {
		p.Library = find("CRAK_LIBRARY", "libcrak.so")
	}
	if p.Programs == "" {
		p.Programs = filepath.Join(p.Dir, "programs")
	}
	if p.Identities == nil {
		p.Identities = Identities()
	}
	if p.Parallel == 0 {
		p.Parallel = 2
	}
	if p.Bound == 0 {
		p.Bound = 30 * time.Second
	}
}

// find is the path of a tool: what the variable says, or build/name here or above.
func find(variable, name string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "build", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// install copies the tools to a directory that an ordinary user may enter. The checkout may be in a home directory that only root may
// enter.
func (l *Lab) install() error {
	bin := filepath.Join(l.tools, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(l.tools, 0o755); err != nil {
		return err
	}
	l.build = builder{source: l.params.Programs, include: l.params.Include, cache: l.params.Cache, bin: bin}
	l.crak = filepath.Join(bin, "crak")
	l.library = filepath.Join(l.tools, "libcrak.so")
	if l.params.Crak == "" || l.params.Library == "" {
		return errors.New("crak or libcrak.so: not found: run make, or set CRAK and CRAK_LIBRARY to their paths")
	}
	if err := copyFile(l.crak, l.params.Crak, 0o755); err != nil {
		return err
	}
	return copyFile(l.library, l.params.Library, 0o755)
}

// Testscript returns Setup, Cmds and Condition for one identity. With them a testscript run that has other commands gets those of the
// lab, too. The caller may add its own.
func (l *Lab) Testscript(id Identity) testscript.Params {
	return testscript.Params{
		Dir:       l.params.Dir,
		Files:     l.params.Files,
		TestWork:  l.params.Keep,
		Setup:     func(env *testscript.Env) error { return l.setup(env, id) },
		Cmds:      l.Commands(),
		Condition: func(cond string) (bool, error) { return l.condition(id, cond) },
	}
}

// setup makes a script's session and gives its work directory to the identity.
func (l *Lab) setup(env *testscript.Env, id Identity) error {
	l.slots <- struct{}{}
	env.Defer(func() { <-l.slots })
	if err := os.Chmod(filepath.Dir(env.WorkDir), 0o711); err != nil {
		return err
	}
	programs, err := filepath.Abs(l.params.Programs)
	if err != nil {
		return err
	}
	s := &session{lab: l, identity: id, work: env.WorkDir, subjects: map[string]*subject{}}
	s.token = fmt.Sprintf("CRAK_LAB=%d.%s.%s", os.Getpid(), id.Name, filepath.Base(env.WorkDir))
	s.images = filepath.Join(env.WorkDir, "images")
	if err := os.Mkdir(s.images, 0o700); err != nil {
		return err
	}
	if err := id.own(env.WorkDir); err != nil {
		return err
	}
	path := l.build.bin + ":" + strings.Join(systemPath, ":")
	s.env = []string{
		"PATH=" + path, "HOME=" + env.WorkDir, "TMPDIR=" + env.Getenv("TMPDIR"),
		"LANG=C.UTF-8", "TERM=xterm", "CRAK_DIR=" + s.images, s.token,
	}
	env.Setenv("PATH", path)
	env.Setenv("CRAK_DIR", s.images)
	env.Setenv("LIBRARY", l.library)
	env.Setenv("BIN", l.build.bin)
	env.Setenv("PROGRAMS", programs)
	env.Setenv("SOAK", cmp.Or(os.Getenv("SOAK"), "5s"))
	env.Setenv("GENERATIONS", cmp.Or(os.Getenv("GENERATIONS"), "30"))
	env.Setenv("SEED", cmp.Or(os.Getenv("SEED"), strconv.FormatUint(rand.Uint64(), 10)))
	if goTool, err := exec.LookPath("go"); err == nil {
		env.Setenv("GO", goTool)
		env.Setenv("GOCACHE", goCache())
	}
	env.Values[sessionKey{}] = s
	env.Defer(func() {
		if err := s.close(); err != nil {
			env.T().Fatal(err)
		}
	})
	return nil
}

// goCache returns the build cache of the user who runs the lab. Scripts have another HOME, and an empty cache costs a minute.
func goCache() string {
	if dir := os.Getenv("GOCACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "off" // "go build" then says what is missing
	}
	return filepath.Join(dir, "go-build")
}

// systemPath has the directories of the distribution's programs, without what the caller's PATH may have before them.
var systemPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
