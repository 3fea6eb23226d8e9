// Package minimize makes traces small: the fewest inputs, then the fewest context switches, then the shortest times, that still give
// what somebody wants to keep. What that is, a caller's [Test] says.
//
// Start with [Inputs] for a recording that can be run again, [Schedule] for one of package explore, and [Records] for a capture, of
// which records can only be left out.
//
// # What is promised
//
// The result passes the test, and the same start and the same test give the same result, however many workers there are. When ctx
// is over, the smallest that has been found by then is the result, and Result.Stopped says so. Otherwise the result is 1-minimal: without
// any single one of its inputs it does not pass. With at most 11 of them, besides the end, it is Exact: nor does it without several of
// them. Of a recording with so few inputs all sets are tried, so that none is smaller. Of a longer one there may be some quite different
// set that is: finding it would take a run for each set there is.
//
// # What it refuses to do
//
// It has no clock and no chance, reads no file, and knows no findings. It never adds an input, and never makes one come later.
package minimize
