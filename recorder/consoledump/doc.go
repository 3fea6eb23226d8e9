// Package consoledump reads what Xen's console says of event channels, from whatever it was pasted into.
//
// Make a Reader, call Next until io.EOF, and ask Summary what was passed over. Each call gives one dump.Dump: what one press of a key
// printed of one domain.
//
// # What is read
//
//   - debug key e in its present form, for the 2-level and for the FIFO ABI, and in the form of 2008 to 2013 ([p/m]),
//   - debug key q: the vcpus of each domain, in the spellings of Xen 3.3 and later,
//   - what Linux answers to key q: xen_debug_interrupt, one section for each vcpu,
//   - lsevtchn's table.
//
// A file may hold any number of them, of several domains, among other lines. Around them may stand what consoles, loggers and mail
// programs add: (XEN), time stamps in brackets, syslog's and journalctl's prefixes, quote marks, indentation, code fences, carriage
// returns, escape sequences, quoted-printable. A row that a mail program broke in two is put together again, where the pieces fit and
// where the second could be nothing else. Two messages that a serial line ran together are taken apart.
//
// # What is not
//
// A row that does not fit is counted and located, not guessed at; with Options.Strict it is an error. The beginning of a ring buffer
// may have cut the header off its rows: they are given without a domain. What a cut inside a dump took away cannot be seen, unless
// Xen says so; Dump.Whole is about both ends.
//
// The reader draws no conclusions: see package analyze/doctor.
package consoledump
