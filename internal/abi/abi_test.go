package abi_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crak.dev/crak/internal/abi"
)

var (
	comment    = regexp.MustCompile(`(?s)/\*.*?\*/`)
	define     = regexp.MustCompile(`(?m)^#define (ABI_\w+) `)
	enumerator = regexp.MustCompile(`(?m)^\t(ABI_\w+) = `)
	structure  = regexp.MustCompile(`(?s)struct (abi_\w+) \{(.*?)\};`)
	declarator = regexp.MustCompile(`(\w+)(?:\[\d+\])?$`)
)

// mirrors maps each struct of abi.h to its Go type.
var mirrors = map[string]reflect.Type{
	"abi_message":    reflect.TypeFor[abi.Message](),
	"abi_cpu_time":   reflect.TypeFor[abi.CPUTime](),
	"abi_cpu":        reflect.TypeFor[abi.CPU](),
	"abi_cpu_thread": reflect.TypeFor[abi.CPUThread](),
	"abi_challenge":  reflect.TypeFor[abi.ChallengeBody](),
	"abi_hello":      reflect.TypeFor[abi.HelloBody](),
	"abi_failure":    reflect.TypeFor[abi.Failure](),
	"abi_thread":     reflect.TypeFor[abi.Thread](),
	"abi_call":       reflect.TypeFor[abi.Call](),
	"abi_context":    reflect.TypeFor[abi.Context](),
	"abi_admission":  reflect.TypeFor[abi.Admission](),
	"abi_restart":    reflect.TypeFor[abi.Restart](),
}

// TestHeader compares abi.h, as the C compiler understands it, with abi.go.
func TestHeader(t *testing.T) {
	source, err := os.ReadFile("abi.h")
	if err != nil {
		t.Fatal(err)
	}
	header := comment.ReplaceAllString(string(source), "")
	var program strings.Builder
	program.WriteString("#include <stddef.h>\n#include <stdio.h>\n#include \"abi.h\"\nint main(void)\n{\n")
	for _, m := range append(define.FindAllStringSubmatch(header, -1), enumerator.FindAllStringSubmatch(header, -1)...) {
		format, cast := "%lld", "(long long)"
		if m[1] == "ABI_SOCKET_PREFIX" || m[1] == "ABI_NOTE_NAME" {
			format, cast = "%s", ""
		}
		fmt.Fprintf(&program, "\tprintf(\"%s = %s\\n\", %s%s);\n", plain(strings.TrimPrefix(m[1], "ABI_")), format, cast, m[1])
	}
	for _, m := range structure.FindAllStringSubmatch(header, -1) {
		for _, field := range fields(m[2]) {
			fmt.Fprintf(&program, "\tprintf(\"%s.%s at %%zu, %%zu bytes\\n\", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));\n",
				m[1], plain(field), m[1], field, m[1], field)
		}
		fmt.Fprintf(&program, "\tprintf(\"%s: %%zu bytes\\n\", sizeof(struct %s));\n", m[1], m[1])
	}
	program.WriteString("\treturn 0;\n}\n")
	if diff := cmp.Diff(lines(run(t, program.String())), lines(mirror(t))); diff != "" {
		t.Errorf("abi.h and abi.go differ (-C +Go):\n%s", diff)
	}
}

// plain turns a C or Go name into a form in which both can be compared.
func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// fields returns the names of the fields in the body of a C struct.
func fields(body string) (names []string) {
	for _, declaration := range strings.Split(body, ";") {
		for _, d := range strings.Split(declaration, ",") {
			if m := declarator.FindStringSubmatch(strings.TrimSpace(d)); m != nil {
				names = append(names, m[1])
			}
		}
	}
	return names
}

func lines(text string) map[string]bool {
	set := make(map[string]bool)
	for line := range strings.Lines(text) {
		set[strings.TrimSpace(line)] = true
	}
	return set
}

// run compiles and runs a C program.
func run(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "print.c")
	if err := os.WriteFile(name, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-Wall", "-Werror", "-I.", "-o", dir+"/print", name).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s\n%s", err, out, source)
	}
	out, err := exec.Command(dir + "/print").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// mirror prints the definitions of abi.go in the form in which the C program prints those of abi.h.
func mirror(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "abi.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Error: func(error) {}} // ignore imports that are not found; the constants need none
	pkg, _ := config.Check("abi", files, []*ast.File{file}, nil)
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok {
			continue
		}
		text := c.Val().ExactString()
		if c.Val().Kind() == constant.String {
			text = constant.StringVal(c.Val())
		}
		fmt.Fprintf(&b, "%s = %s\n", plain(name), text)
	}
	for name, typ := range mirrors {
		for i := range typ.NumField() {
			switch f := typ.Field(i); {
			case f.Type.Size() == 0: // structs.HostLayout
			case f.Name == "_":
				fmt.Fprintf(&b, "%s.pad at %d, %d bytes\n", name, f.Offset, f.Type.Size())
			default:
				fmt.Fprintf(&b, "%s.%s at %d, %d bytes\n", name, plain(f.Name), f.Offset, f.Type.Size())
			}
		}
		fmt.Fprintf(&b, "%s: %d bytes\n", name, typ.Size())
	}
	return b.String()
}
