// Package tui shows a trace in a terminal: it opens at the step where the first lost event went unnoticed, draws the bits of that
// moment, says why, and walks forwards and backwards from there.
//
// [New] makes the program, a tea.Model; [Plain] writes the same step as text, for scripts and screen readers. Both work on a
// [Trace], which whoever calls them has opened.
//
// # What it is made of
//
// The [Model] has the place in the trace (the cursor) and the port that is looked at, and hands a view of that moment to the
// panes: the events around it, the machine, the why, and the timeline. A pane draws; it changes nothing but what it shows. What a
// key does is in the key map, from which the help is made.
//
// A tape keeps the events and the states around the cursor in memory, so that a step costs the same anywhere in a trace of any
// size. Whatever has to look at many events (a search, a filter, the next event of a port, a breakpoint) fills an index slice by
// slice, in commands, and any key interrupts it: Update never waits.
//
// # What it refuses
//
// It opens no file, changes no trace, and judges nothing: findings come from package analyze, replays from package replay. Notes of a
// reader are kept by whoever calls, through [Options].
package tui
