package lab

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// builder compiles the C programs that scripts name, each once.
type builder struct {
	source  string // directory of NAME.c and of headers
	include string // another directory of headers
	cache   string // compiled programs by the hash of what they were made from; may be empty
	bin     string // where the scripts find them

	mu   sync.Mutex
	done map[string]error // by name
}

// compilerFlags are those of every program. A program adds its own by a first line such as
// `/* cc: -fopenmp */`.
var compilerFlags = []string{"-std=gnu11", "-O2", "-g", "-pthread", "-Wall", "-Wextra", "-Werror"}

// program compiles NAME.c and returns the program's path. The error is os.ErrNotExist where there is no NAME.c.
func (b *builder) program(name string) (string, error) {
	return b.compile(name, name)
}

// compile makes the program `as` of NAME.c with further flags.
func (b *builder) compile(as, name string, flags ...string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := filepath.Join(b.bin, as)
	if err, ok := b.done[as]; ok {
		return path, err
	}
	source := filepath.Join(b.source, name+".c")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	args := append(compilerFlags[:len(compilerFlags):len(compilerFlags)], "-I", b.source)
	if b.include != "" {
		args = append(args, "-I", b.include)
	}
	args = append(args, ownFlags(string(text))...)
	args = append(args, flags...)
	err = b.make(path, source, args)
	if b.done == nil {
		b.done = map[string]error{}
	}
	b.done[as] = err
	return path, err
}

// ownFlags are those that a program's first line asks for.
func ownFlags(text string) []string {
	line, _, _ := strings.Cut(text, "\n")
	line, ok := strings.CutPrefix(line, "/* cc: ")
	if !ok {
		return nil
	}
	line, _, _ = strings.Cut(line, " */")
	return strings.Fields(line)
}

// make compiles source to path, or copies what was compiled before from the same text.
func (b *builder) make(path, source string, args []string) error {
	args = append([]string{"-o", path, source}, args...) // libraries come after what needs them
	if b.cache == "" {
		return gcc(args)
	}
	key, err := b.key(source, args)
	if err != nil {
		return err
	}
	kept := filepath.Join(b.cache, filepath.Base(path)+"-"+key)
	if err := copyFile(path, kept, 0o755); err == nil {
		return nil
	}
	if err := gcc(args); err != nil {
		return err
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return err
	}
	return copyFile(kept, path, 0o755)
}

func gcc(args []string) error {
	out, err := exec.Command("cc", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cc %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// key is a hash of a program's source, of all headers, and of the flags without the paths of this run.
func (b *builder) key(source string, args []string) (string, error) {
	hash := sha256.New()
	for _, arg := range args {
		if !strings.HasPrefix(arg, b.bin) {
			fmt.Fprintln(hash, arg)
		}
	}
	headers, err := filepath.Glob(filepath.Join(b.source, "*.h"))
	if err != nil {
		return "", err
	}
	if b.include != "" {
		more, err := filepath.Glob(filepath.Join(b.include, "*.h"))
		if err != nil {
			return "", err
		}
		headers = append(headers, more...)
	}
	for _, name := range append(headers, source) {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%d\n%s", len(text), text)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

// copyFile copies a file whole or not at all.
func copyFile(to, from string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	// A process that is forked now has out open for writing until it executes its program. Then to cannot be executed (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	out, err := os.CreateTemp(filepath.Dir(to), ".copy")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // after the rename there is nothing of that name
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Chmod(mode)
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

func cmdCC(s *session, c *call) error {
	as := c.text("as")
	if as == "" {
		as = c.args[0]
	}
	_, err := s.lab.build.compile(as, c.args[0], c.args[1:]...)
	return err
}
