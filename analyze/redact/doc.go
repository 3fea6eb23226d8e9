// Package redact takes out of a trace what is nobody's business, and keeps what its verdict rests on.
//
// Start with [Look], which reads the trace once, then [Survey.Plan], and [Plan.Source] for the trace as it may be shown. [Judged] compares two
// reports: the caller judges both, and gives nothing out unless they are the same.
//
// # What goes
//
//   - Names: of tasks, of records that have no meaning to the importer, of the scenario, and all prose: notes, the capture's name, a scenario's
//     story, source and comments.
//   - Domain ids, of captures: they are numbered anew in the order in which they appear. Domain 0 and Xen's own numbers stay. In a
//     simulation they are numbers of the scenario, and stay.
//   - The time of day: the first event of a capture is at 0, or where the caller wants it.
//   - Events of ports that the findings have nothing to do with, if that is asked for: see Drop.
//
// # What stays
//
// Which vcpu did what to which port when: that is the bug. Port numbers, PIRQ and VIRQ numbers, ports of other domains and the
// frequency of the clock stay, too. So does the virtual time of a simulation.
//
// # Simulations
//
// A simulation can be run again from its scenario. It stays so if nothing but names goes: Plan.Again says whether it does. Moved in time, or with
// ports dropped, it cannot, and then its scenario and its schedule are taken out.
package redact
