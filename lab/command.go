package lab

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// A command is a command of the lab: its usage line and its function. An error of the function fails the script. If refusal is set, a
// script may negate the command with `!`: then the function must return an error.
type command struct {
	usage    string
	min, max int  // arguments after the options; max < 0: any number
	refusal  bool // a script may negate it
	run      func(s *session, c *call) error
}

// A call is one use of a command in a script.
type call struct {
	ts    *testscript.TestScript
	args  []string
	flags *flag.FlagSet
	bools map[string]*bool
	texts map[string]*string
}

// on and text are the values of a call's options.
func (c *call) on(name string) bool     { return *c.bools[name] }
func (c *call) text(name string) string { return *c.texts[name] }

// commands are listed as doc.go explains them.
var commands = map[string]command{
	"start":         {"start [-bare] [-init] [-pty] [-dir D] [-stdin FILE] [-env K=V] NAME PROGRAM [ARG...]", 2, -1, false, cmdStart},
	"await":         {"await NAME REGEXP", 2, 2, false, cmdAwait},
	"screen":        {"screen NAME REGEXP", 2, 2, false, cmdAwait},
	"type":          {"type NAME KEYS", 2, 2, false, cmdType},
	"proceed":       {"proceed NAME", 1, 1, false, cmdProceed},
	"signal":        {"signal NAME SIGNAL", 2, 2, false, cmdSignal},
	"crash":         {"crash NAME", 1, 1, false, cmdCrash},
	"finish":        {"finish NAME [STATUS]", 1, 2, false, cmdFinish},
	"checkpoint":    {"checkpoint NAME [OPTION...]", 1, -1, true, cmdCheckpoint},
	"trigger":       {"trigger NAME [SIGNAL]", 1, 2, true, cmdTrigger},
	"restart":       {"restart NAME [OPTION...] [IMAGE]", 1, -1, true, cmdRestart},
	"survives":      {"survives [-trigger] [-restless] [-env K=V] PROGRAM [ARG...]", 1, -1, false, cmdSurvives},
	"generations":   {"generations [-every N] [-seed S] NAME COUNT", 2, 2, false, cmdGenerations},
	"moments":       {"moments [-runs N] [-chain N] [-seed S] NAME [FILE...]", 1, -1, false, cmdMoments},
	"storm":         {"storm [-trigger] NAME DURATION", 2, 2, false, cmdStorm},
	"uninterrupted": {"uninterrupted NAME [FILE...]", 1, -1, false, cmdUninterrupted},
	"observe":       {"observe NAME PICTURE", 2, 2, false, cmdObserve},
	"same":          {"same [-except FIELD,...] [-strict] PICTURE PICTURE", 2, 2, true, cmdSame},
	"descriptors":   {"descriptors N", 1, 1, false, cmdDescriptors},
	"cc":            {"cc [-as NAME] PROGRAM [FLAG...]", 1, -1, false, cmdCC},
	"run":           {"run PROGRAM [ARG...]", 1, -1, true, cmdRun},
	"strays":        {"strays", 0, 0, true, cmdStrays},
}

// Commands are the lab's commands, for testscript.Params.Cmds.
func (l *Lab) Commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){}
	for name, cmd := range commands {
		all[name] = cmd.adapt
	}
	return all
}

// adapt makes a testscript command of a command.
func (cmd command) adapt(ts *testscript.TestScript, neg bool, args []string) {
	if neg && !cmd.refusal {
		ts.Fatalf("unsupported: ! %s", cmd.usage)
	}
	c := &call{ts: ts}
	c.options(cmd.usage)
	if err := c.flags.Parse(args); err != nil {
		ts.Fatalf("usage: %s: %v", cmd.usage, err)
	}
	c.args = c.flags.Args()
	if len(c.args) < cmd.min || cmd.max >= 0 && len(c.args) > cmd.max {
		ts.Fatalf("usage: %s", cmd.usage)
	}
	err := cmd.run(sessionOf(ts), c)
	switch {
	case neg && err == nil:
		ts.Fatalf("unexpected success")
	case neg:
		ts.Logf("as expected: %v", err)
	case err != nil:
		ts.Fatalf("%v", err)
	}
}

// options reads the options out of a usage line: [-name] or [-name VALUE].
func (c *call) options(usage string) {
	c.flags = flag.NewFlagSet("", flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	c.bools, c.texts = map[string]*bool{}, map[string]*string{}
	for rest := usage; ; {
		_, after, ok := strings.Cut(rest, "[-")
		if !ok {
			return
		}
		option, tail, _ := strings.Cut(after, "]")
		if name, _, ok := strings.Cut(option, " "); ok {
			c.texts[name] = c.flags.String(name, "", "")
		} else {
			c.bools[name] = c.flags.Bool(name, false, "")
		}
		rest = tail
	}
}

// output passes what a program has written to the commands stdout and stderr of the script.
func (c *call) output(stdout, stderr []byte) {
	fmt.Fprintf(c.ts.Stdout(), "%s", stdout)
	fmt.Fprintf(c.ts.Stderr(), "%s", stderr)
}
