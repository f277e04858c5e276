/*
Package lab tests restarts by scripts. A script starts programs, checkpoints them with crak, kills them, restarts them, and
compares them with what they were before.

The scripts are those of rogpeppe/go-internal/testscript, with additional commands. A script reads like a transcript.
`# comments` name its phases:

	# a database in the middle of a transaction
	start db sqlite3 bank.db
	await db READY
	checkpoint db
	crash db
	restart db
	proceed db
	finish db
	uninterrupted db bank.db

A project uses it in a test of its own:

	func TestFidelity(t *testing.T) { lab.Run(t, lab.Params{Dir: "testdata"}) }

`crak lab DIR` runs scripts without Go. [Lab.Testscript] adds the commands to a testscript run that has other commands.

# Identities

If root runs the lab, each script runs twice: as root, and as an ordinary user to whom $WORK belongs, with UID 12345. If an
ordinary user runs the lab, each script runs once, as that user. Programs and crak run as this identity. The command exec of
testscript runs as the user who runs the lab. A script that is for one identity only says so in its first comments:

	# as: root

# Programs

A script names a program by its path, or by the name of a program of the system, or of a workload. A workload is a file NAME.c in
[Params].Programs ($PROGRAMS), which is compiled when a script first names it. A first line `/ * cc: -fopenmp * /` adds compiler flags. A program
runs in its own directory, $WORK/NAME, in which the script may have put files. Its standard output is $WORK/NAME.out, its
standard error $WORK/NAME.err. Images go to $WORK/images, which is $CRAK_DIR.

A workload prints READY when it has built its state. It waits until there is a file named go in its directory, and checks itself.
Then it prints PASS and exits with status 0, or prints what is wrong and exits with status 1.

# Groups

A program is its process with all descendants, and with the processes that have lost their parent: the lab finds these by a
variable in their environment. A picture is what /proc shows of all these processes (see the command observe). The command crash kills all of
them, and an image must have all of them.

# Commands

	start [-bare] [-init] [-pty] [-dir D] [-stdin FILE] [-env K=V] NAME PROGRAM [ARG...]
	    Start a program under libcrak.so and call it NAME. -bare: without the library.
	    -init: as process 1 of new PID and mount namespaces, below unshare(1).
	    -pty: on a terminal of its own. $NAME_pid is its PID.
	await NAME REGEXP
	    Wait until the program's output has a match after the one of the previous await.
	type NAME KEYS · screen NAME REGEXP
	    Type to it (with Go's escapes: \r, \x1b), and wait until its terminal shows a match.
	proceed NAME
	    Create a file named go in the program's directory. A workload waits for this file.
	signal NAME SIGNAL
	    Send a signal, named as for kill(1), to the program itself. After STOP, wait until it has stopped.
	[!] checkpoint NAME [OPTION...]
	    crak checkpoint. $IMAGE is the image. With !, stderr has the reason.
	[!] trigger NAME [SIGNAL]
	    Ask for a checkpoint by a signal (USR2), and wait for the line in crak.log. stdout has this line.
	crash NAME
	    Kill all its processes with SIGKILL and wait for their end. (kill and wait are testscript's.)
	[!] restart NAME [OPTION...] [IMAGE]
	    crak restart, in the foreground of the lab, of NAME's newest image or another one.
	    Returns when the program runs again. Its output goes to the same files as before. stderr
	    has the messages of crak. $NAME_crak is crak's PID.
	generations [-every N] [-seed S] NAME COUNT
	    Checkpoint (by command and by signal in turn), crash and restart it COUNT times.
	    After every Nth, make a file round-K and wait for the line ROUND K. -seed: after random pauses.
	    $GENERATIONS and $SEED are the environment variables of these names, or 30 and a random number.
	moments [-runs N] [-chain N] [-seed S] NAME [FILE...]
	    Run a program that has run to its end before (start -bare, finish) N times (3) more. Each run has
	    up to N checkpoints (2) with --kill at random moments, each followed by a restart. Status, output
	    and the named files and directories must be those of the first run. An error names the seed, with
	    which -seed repeats the same moments.
	storm [-trigger] NAME DURATION
	    Checkpoint it without a pause, by command, and with -trigger by signal too, and kill
	    some writers. The program changes the text of a link named beat all the time, and must not
	    stop doing so. $SOAK is the environment variable of that name, or 5s.
	finish NAME [STATUS]
	    Wait for its end. Its exit status, or 128 plus the signal, must be STATUS (0).
	survives [-trigger] [-restless] [-env K=V] PROGRAM [ARG...]
	    The usual test of a workload: start, observe, checkpoint, crash, restart, observe (nothing
	    may differ), checkpoint, proceed. It must print PASS, and nothing on its standard error. If it
	    fails, it is run without checkpoints, too, to tell whether the workload or the restart is wrong.
	    -restless: its threads, mappings or files change all the time, so pictures are not compared.
	uninterrupted NAME [FILE...]
	    Run the same program once more, bare, in a copy of the directory that it was
	    started in. Status, output, and the named files and directories must be the same.
	observe NAME PICTURE
	    Write all that /proc shows of its processes to a JSON file: see [Group] and [Picture].
	[!] same [-strict] [-except FIELD,...] PICTURE PICTURE
	    Compare two pictures. Times, counters, and what belongs to the parent may differ, with -strict
	    nothing may. -except names further fields that may differ, such as threads.*.comm or limits.*.
	descriptors N
	    From now on the hard limit of descriptors is N for crak.
	cc [-as NAME] PROGRAM [FLAG...]
	    Compile a workload with further flags.
	[!] run PROGRAM [ARG...]
	    testscript's exec, as the script's identity. `run crak` is the crak under test.
	[!] strays
	    Fail if there is a process that belongs to no running program.

At the end of a script, also after a failure, the lab kills all processes that still run. If one of them belongs to none of
the script's programs, the script fails.

# Conditions

	[root] [user]      the identity as which the script runs
	[superuser]        root runs the lab, so exec runs as root
	[userns]           user and PID namespaces can be made
	[keep]             crak restart can choose PIDs without a new PID namespace
	[mount]            a file system can be mounted
	[kernel:6.7]       the kernel has this version or a later one
	[prog:gawk]        the system has this program
	[cap:sys_admin]    the lab has this capability, and the script runs as root
	[feature:NAME]     the machine has one of: hugetlb, thp, memory-cgroup, ksm, avx, avx2, avx512, mdwe, timens, timer-restore-ids, secretmem,
	                   m32, static, openmp, asan, go ($GO is the go command's path)

# Layout

	lab.go run.go runner.go        engine: tools, go test's runner, crak lab's runner
	session.go subject.go          a script and its programs
	start.go capture.go terminal.go build.go sweep.go mounts.go inherited.go
	                               starting programs, and what they leave
	command*.go condition.go       the commands and conditions of scripts
	identity.go                    as whom a script runs
	picture.go proc.go mapping.go descriptors.go
	                               /proc as a tree of fields
	undisturbed.go                 a picture at a moment at which the process handles no order of crak
	group.go relatives.go          the processes of a program, and how they belong together
	sharing.go                     what they share
	reaper.go                      the parent of processes whose parent was killed

The lab does not know the image format, and has its own parsers of /proc. If it used crak's, a mistake in them would hide a
mistake of crak.
*/
package lab
