// Package analyze judges a trace: which events were lost or late, at which step they went unnoticed, and why.
//
// Start with [Run], which reads a [evtchn.Source] to its end, or feed an [Analyzer] while a trace is recorded or replayed. Both
// go over the events once and keep a bounded record per port, so the length of a trace does not matter.
//
// # Episodes and findings
//
// An episode is one stay of a port in PEND. It is exposed while the port is known to be pending and unmasked. What is wrong
// with an episode is a [Finding]:
//
//   - lost: nobody was going to look at the exposed port, and nobody did until the trace ended or the port was closed; or its
//     event was dropped because it had no handler, or erased because PEND was cleared after the handler had run;
//   - late: the same, but somebody did look after all: because another port of the same word was raised, because the port
//     was signalled again, or because a tick swept all words; or else the delay exceeds Options.LateAfter;
//   - duplicate, concurrent, wrong-vcpu: a port was picked twice for one event, while its handler was running on another vcpu,
//     or on a vcpu that does not accept it. These are only found in complete traces;
//   - unknown: records are missing that could change the answer. It is never silently one of the others.
//
// An episode that goes unnoticed, is signalled again in vain and goes unnoticed again is one finding. A masked port is not
// lost, however long it is pending: a per-vcpu spinlock IPI stays masked by design. A port that somebody is about to be told
// of when the trace ends is in flight, and not a finding.
//
// # Evidence
//
// A capture shows neither SEL nor UP, so that a signalling was in vain is always deduced. Finding.Strength says how well: seen, inferred
// or weak; Finding.Deduced which events are not in the capture; Finding.Proof which records bear them out. Where another reading is
// possible, that a record is missing, a finding is unknown, unless another of the same trace leaves none; and nothing is lost without
// records that can mean nothing else. Finding.Settle names the probe, the side file or the clock that would decide it.
//
// # But for
//
// [ButFor] asks what would have changed the verdict about a finding of a simulated recording: it changes what reached the system, one thing
// at a time, runs that, and has the same analyzer judge it.
//
// # Verdict
//
// The worst finding decides, in the order lost, violated (duplicate, concurrent, wrong-vcpu), late, unknown, clean. A trace is
// clean only if a lost event would have shown in it. Report.Doubts lists what stands against that; without a finding the verdict
// is then unknown:
//
//   - a record that a verdict needs was not probed for (Meta.Unprobed), or no record is about a port, or there are no events;
//   - records were lost inside, or some events are of a vcpu, port or kind that the trace does not have;
//   - the beginning was lost, as in a ring buffer that was overwritten. What is left is judged, and findings in it count: TraceInfo.Window
//     is true, and the headline says of how many records it speaks. But which ports were pending before is not known, and a
//     port that was lost then is just what one looks for;
//   - the records do not stand in the order of their times (Meta.Unordered). All findings rest on that order, so they are all
//     unknown, too;
//   - the ABI is FIFO.
//
// A trace that ends early, as a recording that was killed does, is judged up to its last event: TraceInfo.Complete is false, and the
// headline says so. A lost end, other than a lost beginning, leaves nothing unknown of what is there.
//
// # Totals
//
// Every episode ended in one way, and Totals counts them all: see there for the sum, and [Totals.Balance].
//
// # What it refuses to do
//
// It has no clock and no randomness, reads no file, and does not repair a trace: events whose numbers do not increase are an
// error of class [ErrOrder]. It keeps no event: evidence is given by number.
package analyze
