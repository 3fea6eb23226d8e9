// Package doctor judges console dumps of event channels (evtchn/dump): which ports nobody is going to look at, and why.
//
// Make an Examiner, add dumps in the order in which they were printed, and ask Finish for the Report.
//
// A dump is a photograph: a port that is pending and unmasked with nobody's selector set may have been in flight when it was taken,
// between a vcpu's look at its selector and the handler. So one dump only makes suspects; what a second dump, some time later, shows
// unchanged is decided. What a later dump no longer shows was in flight, and is not reported, unless it had stood over two dumps.
//
// Masked is not lost: a port that is pending and masked waits for whoever masked it. The examiner says for each why it is no suspect.
//
// It reads nothing and knows no clock: dumps carry their own time stamps.
package doctor
