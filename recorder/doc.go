// Package recorder takes events from where they arise, a simulated system or a capture, checks that they make one ordered
// trace, and hands them to whoever keeps or judges them.
//
// Start with Run. Sources are evtchn.Source: system.System for a simulation, ftrace.Importer for a capture of Linux. Sinks are
// evtchn.Sink: a store's or a text form's writer, an analyser.
//
// The package opens no file and knows no format. It does not repair an order that is wrong: it names the event that broke it.
package recorder
