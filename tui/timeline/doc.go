// Package timeline draws a stretch of a trace as a strip: time runs from left to right, every vcpu has a row that says what it
// was doing, and one port has a row for its life.
//
// Start with [New], [Model.SetSize] and [Model.SetWindow]; then fill a [Builder] made by [NewBuilder] from [Model.Spec] with the events
// of the window, as [Plan] says, and give what it made to [Model.SetStrip]. The strip can be taken from the builder at any time, so that
// a long scan shows what it has; after a zoom or a pan the model draws what it still has of the old strip until it gets a new one.
//
// A cell shows one thing: of all that a vcpu did in its time the most telling, in the order of [Activity], and of all that the port went through the worst,
// in the order of [Life]. No cell relies on colour. What was not read is blank, what was only sampled stands under
// a wavy axis.
//
// It reads no trace, has no clock, and does not know bubbletea. A Model is not safe for concurrent use; a Builder may run in another
// goroutine than the model.
package timeline
