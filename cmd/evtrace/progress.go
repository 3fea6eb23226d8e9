package main

import (
	"fmt"
	"io"
	"time"
)

// progress shows how far a long operation is, on a terminal and after a second. The zero value shows nothing.
type progress struct {
	w     io.Writer
	what  string
	unit  string // of what is counted
	start time.Time
	last  time.Time
	shown int // columns on the screen
}

// newProgress starts one that counts units. Nothing is ever shown if stderr is not a terminal, or if quiet.
func (a *app) newProgress(what, unit string, quiet bool) *progress {
	if quiet || !isTerminal(a.err) {
		return &progress{}
	}
	return &progress{w: a.err, what: what, unit: unit, start: time.Now()}
}

// at tells how much of the work is done: n units, and which part of the whole (0 to 1; 0: not known).
func (p *progress) at(n uint64, part float64) {
	if p.w == nil {
		return
	}
	now := time.Now()
	spent := now.Sub(p.start)
	if spent < time.Second || now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	line := fmt.Sprintf("%s: %s %s, %s/s", p.what, group(n), p.unit, group(uint64(float64(n)/spent.Seconds())))
	if part > 0 && part <= 1 {
		left := time.Duration(float64(spent) * (1 - part) / part)
		line += fmt.Sprintf(", %d %%, %s left", int(100*part), left.Round(time.Second))
	}
	fmt.Fprintf(p.w, "\r%-*s", p.shown, line)
	p.shown = len(line)
}

// done takes the line away.
func (p *progress) done() {
	if p.w == nil || p.shown == 0 {
		return
	}
	fmt.Fprintf(p.w, "\r%*s\r", p.shown, "")
	p.shown = 0
}

// part is n of total, 0 if the total is not known.
func part[T int64 | uint64](n, total T) float64 {
	if total <= 0 {
		return 0
	}
	return min(float64(n)/float64(total), 1)
}
