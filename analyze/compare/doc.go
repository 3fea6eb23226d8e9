// Package compare lays two traces side by side: which events both have, where they part, and what the one has over the other, port by port,
// in delays and in costs.
//
// Start with [Run], which reads both once, in bounded memory. [Pairs] gives the lines around one event, for the screen.
//
// # Alignment
//
// Two runs of the same inputs share the clock: what came from outside came at the same time. An event of the one is the other's if they are
// alike: all but their numbers, and those of their causes, is the same, the time, too. What happens in both stands side by
// side, what only one has stands alone, in the order of time. Among events of one moment the next 64 are looked through. Run counts
// times from each trace's first event, so that a trace that was moved in time still fits.
//
// # Raised, gained and missed
//
// A port is raised by what reaches it from outside (a send, a virtual or physical interrupt), and by the domain's own hypercalls. Of those
// raises that both traces have, side by side, each is delivered by the port's next delivery, if there is one. Gained is what B delivers and A
// does not, missed the reverse. What only one of them has, because its course is another by then, is not compared one by one: the
// verdicts and the numbers of findings, which are those of package analyze, speak of the whole of each.
//
// The package does not guess: traces that do not share their inputs, such as two captures, are not aligned at all by this measure, and
// Inputs.Shared says so. Then the numbers of each stand on their own.
package compare
