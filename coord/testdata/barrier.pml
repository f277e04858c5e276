/*
 * The barrier of a checkpoint, for spin(1): one writer and a group of processes that fork, end, and run on when the
 * freeze limit is over. The writer may be killed in any state. TestModel checks
 *
 *	- the assertions: an image that is committed has every member as it was at one instant;
 *	- released: no member stays frozen when the writer is gone or has done its work.
 *
 * With LOOK_ONCE, SNAPSHOT_ALONE, TRUST or FORGET the writer or a process makes a mistake, and spin must find it.
 */

#define N 3		/* PIDs. 0 is the root */
#define OUTSIDE N	/* the parent of an orphan */

mtype = { none, running, frozen, dead };

mtype state[N];
byte parent[N];
bool ordered[N];	/* the freeze signal is pending */
bool open[N];		/* the connection between writer and resident */
bool twin[N];
bool member[N];		/* the writer knows the process */
bool asked[N];		/* the writer has frozen it */
bool gone;		/* the writer was killed */
bool done;		/* the writer has ended by itself */
bool snapped;		/* every member has a twin, or its memory was written */
bool early[N];		/* the process was frozen, and ran before that */
bool committed;

#define isFrozen(i) (state[i] == frozen)
#define isEarly(i) (member[i] && early[i])
#define someEarly (isEarly(0) || isEarly(1) || isEarly(2))
#define noneFrozen (!isFrozen(0) && !isFrozen(1) && !isFrozen(2))
/* Runs, and is a child of a member that lives: every other descendant has such an ancestor. */
#define escapes(i) (state[i] == running && parent[i] != OUTSIDE && member[parent[i]])

inline orphan(i)
{
	if :: parent[1] == i -> parent[1] = OUTSIDE :: else fi;
	if :: parent[2] == i -> parent[2] = OUTSIDE :: else fi
}

proctype process(byte i)
{
	byte child;

endUnborn:
	state[i] == running;
endIdle:
	do
	:: d_step { state[i] == running && ordered[i] -> /* the handler connects. Without a writer it returns */
		ordered[i] = false;
		if
		:: gone || done -> skip
		:: else -> state[i] = frozen; open[i] = true
		fi }
	:: d_step { state[i] == frozen && !open[i] -> /* RESUME, or the end of the connection */
		state[i] = running; early[i] = early[i] || !snapped }
#ifndef FORGET
	:: d_step { state[i] == frozen && open[i] -> /* the freeze limit is over */
		open[i] = false; state[i] = running; early[i] = early[i] || !snapped }
#endif
	:: d_step { state[i] == running && (state[1] == none || state[2] == none) -> /* fork */
		if
		:: state[1] == none -> child = 1
		:: else -> child = 2
		fi;
		state[child] = running; parent[child] = i }
	:: d_step { i > 0 && state[i] != dead -> /* it ends, or is killed */
		state[i] = dead; open[i] = false; ordered[i] = false; orphan(i) }; break
	od
}

inline letGo()
{
	d_step { open[0] = false; open[1] = false; open[2] = false;
		twin[0] = false; twin[1] = false; twin[2] = false }
}

/* Freezes the members that are not frozen. One that ends is left out. */
inline freeze()
{
	i = 0;
	do
	:: i < N && member[i] && !asked[i] && state[i] == running ->
		asked[i] = true;
		ordered[i] = true;
		if
		:: open[i]
		:: state[i] == dead -> member[i] = false
		:: !open[i] && !ordered[i] && state[i] == running -> goto failed /* let go */
		fi;
		i++
	:: i < N && !asked[i] && state[i] == dead -> member[i] = false; i++
	:: i < N && (asked[i] || !member[i]) -> i++
	:: i == N -> break
	od
}

/* Makes the children of members members, one after the other. */
inline look()
{
	fresh = false;
	i = 1;
	do
	:: i < N -> d_step {
		if
		:: escapes(i) && !member[i] -> member[i] = true; fresh = true
		:: else
		fi;
		i++ }
	:: i == N -> break
	od
}

/* Asks every member whether it is still frozen. */
inline confirm()
{
	i = 0;
	do
	:: i < N && member[i] && !open[i] -> goto failed
	:: i < N && !(member[i] && !open[i]) -> i++
	:: i == N -> break
	od
}

proctype writer() provided (!gone)
{
	byte i;
	bool fresh, without;

	member[0] = true;
	if :: look() :: skip fi; /* what find sees while the group runs */
	do
	:: freeze();
#ifdef LOOK_ONCE
		break;
#endif
		look();
		if :: fresh :: !fresh -> break fi
	od;
	/* capture */
	confirm();
	assert(someEarly || !(escapes(1) && !member[1] || escapes(2) && !member[2]));
	/* snapshot, where a fork may be refused */
	i = 0;
	do
	:: i < N && member[i] && open[i] ->
		if
		:: twin[i] = true
		:: without = true
		fi;
#ifdef SNAPSHOT_ALONE
		open[i] = false;
#endif
		i++
	:: i < N && !(member[i] && open[i]) -> i++
	:: i == N -> break
	od;
	if
	:: without -> d_step { twin[0] = false; twin[1] = false; twin[2] = false } /* and the frozen memory is written */
	:: else
	fi;
	snapped = true;
#if !defined(TRUST) && !defined(SNAPSHOT_ALONE)
	confirm();
#endif
	assert(someEarly || without || ((!member[0] || twin[0]) && (!member[1] || twin[1]) && (!member[2] || twin[2])));
	d_step { open[0] = false; open[1] = false; open[2] = false }; /* RESUME */
	/* write, commit */
	committed = true;
	assert(!someEarly);
failed:
	letGo();
	done = true
}

/* Kills the writer, or does not. The kernel closes its connections. */
proctype killer()
{
	if
#ifdef FORGET
	:: d_step { !done -> gone = true }
#else
	:: d_step { !done -> gone = true; open[0] = false; open[1] = false; open[2] = false;
		twin[0] = false; twin[1] = false; twin[2] = false }
#endif
	:: skip
	fi
}

init
{
	atomic {
		state[0] = running; state[1] = none; state[2] = none;
		parent[0] = OUTSIDE; parent[1] = OUTSIDE; parent[2] = OUTSIDE;
		run process(0); run process(1); run process(2);
		run writer(); run killer()
	}
}

ltl released { [] ((gone || done) -> <> noneFrozen) }
