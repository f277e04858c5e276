/*
Package lab runs restart-fidelity suites: scripts that start programs, checkpoint them with
crak, crash them, restart them, and look whether anything is different.

It is rogpeppe/go-internal/testscript with commands of its own. A script reads like a
transcript; `# comments` name its phases:

	# a database in the middle of a transaction
	start db sqlite3 bank.db
	await db READY
	checkpoint db
	crash db
	restart db
	proceed db
	finish db
	uninterrupted db bank.db

In a test of a project of your own:

	func TestFidelity(t *testing.T) { lab.Run(t, lab.Params{Dir: "testdata"}) }

and without any Go: `crak lab DIR`. [Lab.Testscript] adds the commands to a testscript run
that has commands of its own.

# Identities

Where the lab is run by root, each script runs twice, as root and as an ordinary user with a
made-up UID, to whom $WORK belongs; run by a user, it runs as that user. Programs and crak
run as that identity, testscript's own exec as whoever runs the lab. A script that is for one
of them only says so in its leading comments:

	# as: root

# Programs

A program is named by path, as a workload (NAME.c in [Params].Programs, compiled when it is
first named; a first line `/ * cc: -fopenmp * /` adds flags), or as one of the system's. It
runs in a directory of its own, $WORK/NAME, in which the script may have put files, with its
standard output and error in $WORK/NAME.out and $WORK/NAME.err, and images go to
$WORK/images, which is $CRAK_DIR.

A workload prints READY when its state is built, waits until there is a file named go in its
directory, checks itself, prints PASS and exits 0, or prints what is wrong and exits 1.

# Groups

A program is its process with all descendants, and with the processes that have lost their parent: these are found by a variable
in their environment. Pictures show all of them, and a crash kills all of them. An image must hold all of them.

# Commands

	start [-bare] [-init] [-pty] [-dir D] [-stdin FILE] [-env K=V] NAME PROGRAM [ARG...]
	    Start a program under libcrak.so and call it NAME. -bare: without the library.
	    -init: as process 1 of new PID and mount namespaces, below unshare(1).
	    -pty: on a terminal of its own. $NAME_pid is its PID.
	await NAME REGEXP
	    Wait for a match in its output after the last one.
	type NAME KEYS · screen NAME REGEXP
	    Type to it (with Go's escapes: \r, \x1b), and wait for what its terminal shows.
	proceed NAME
	    Make the file go, so that it goes on.
	signal NAME SIGNAL
	    Send a signal, named as for kill(1), to the program itself.
	[!] checkpoint NAME [OPTION...]
	    crak checkpoint. $IMAGE is the image. With !, stderr has the reason.
	[!] trigger NAME [SIGNAL]
	    Ask by signal (USR2) and wait for the line in crak.log, which stdout then has.
	crash NAME
	    Kill all its processes with SIGKILL and wait for their end. (kill and wait are testscript's.)
	[!] restart NAME [OPTION...] [IMAGE]
	    crak restart, in the foreground of the lab, of NAME's newest image or another one.
	    Returns when the program goes on. Output is captured where it was before; stderr
	    has what crak said. $NAME_crak is crak's PID.
	generations [-every N] [-seed S] NAME COUNT
	    Checkpoint (by command and by signal in turn), crash and restart it COUNT times.
	    After every Nth, make a file round-K and wait for the line ROUND K. -seed: after random pauses.
	    $GENERATIONS and $SEED are the environment variables of these names, or 30 and a random number.
	moments [-runs N] [-chain N] [-seed S] NAME [FILE...]
	    Run a program that has run to its end before (start -bare, finish) N times (3) more, each with
	    up to N checkpoints (2), each with --kill, and restarts, at random moments. Status, output and
	    the named files and directories must be those of the first run. An error names the seed, which
	    makes the same moments again.
	storm [-trigger] NAME DURATION
	    Checkpoint it without a pause, by command, and with -trigger by signal too, and kill
	    some writers. The program changes the text of a link named beat all the time, and must not
	    stop doing so. $SOAK is the environment variable of that name, or 5s.
	finish NAME [STATUS]
	    Wait for its end; its exit status, or 128 and the signal, must be STATUS (0).
	survives [-trigger] [-restless] [-env K=V] PROGRAM [ARG...]
	    The standard examination of a workload: it is started, observed, checkpointed,
	    crashed, restarted, observed (nothing may differ), checkpointed again, and told to
	    proceed; it must print PASS, and nothing on its standard error. Where it fails, it
	    is run uninterrupted too, which tells a broken workload from a broken restart.
	    -restless: its threads, mappings or files change all the time, and so do pictures.
	uninterrupted NAME [FILE...]
	    Run the same program once more, bare, in a copy of the directory that it was
	    started in. Status, output, and the named files and directories must be the same.
	observe NAME PICTURE
	    Write all that /proc shows of its processes to a JSON file: see [Group] and [Picture].
	[!] same [-strict] [-except FIELD,...] PICTURE PICTURE
	    Compare two pictures. What passes with time or belongs to the parent may differ;
	    -strict: nothing may. -except adds fields, such as threads.*.comm or limits.*.
	descriptors N
	    From now on the hard limit of descriptors is N for crak.
	cc [-as NAME] PROGRAM [FLAG...]
	    Compile a workload with further flags.
	[!] run PROGRAM [ARG...]
	    testscript's exec, as the script's identity. `run crak` is the crak under test.
	[!] strays
	    Fail where a process is left that belongs to no running program.

Everything that a script leaves running is killed at its end, also after a failure, and what
belongs to none of its programs fails the script.

# Conditions

	[root] [user]      who the script runs as
	[superuser]        the lab itself is run by root: exec may do anything
	[userns]           user and PID namespaces can be made
	[keep]             PIDs can be chosen without a namespace of one's own
	[mount]            a file system can be mounted
	[kernel:6.7]       this version or later
	[prog:gawk]        a program of the system
	[cap:sys_admin]    a capability of the lab's own
	[feature:NAME]     hugetlb, thp, memory-cgroup, ksm, avx, avx2, avx512, mdwe, timens, timer-restore-ids,
	                   m32, static, openmp, go ($GO is the go command's path)

# Layout

	lab.go run.go runner.go        engine: tools, go test's runner, crak lab's runner
	session.go subject.go start.go capture.go terminal.go build.go sweep.go mounts.go inherited.go
	command*.go condition.go       adapters: what scripts say
	identity.go                    as whom a script runs
	picture.go proc.go mapping.go  /proc as a tree of fields
	group.go relatives.go          the processes of a program, and how they belong together
	sharing.go                     what they share
	reaper.go                      the parent of processes whose parent was killed

It does not know what an image is made of, and has its own parsers of /proc: the judge must
not share its mistakes with what it judges.
*/
package lab
