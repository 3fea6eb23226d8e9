// Package bundle is the form of a file NAME.evb: a trace with the verdict that it must give, the report in prose and what one has to
// know to judge it again, in one file that can be mailed.
//
// Start with [Write] and [Open]. The package knows nothing of traces and verdicts: it sees to it that what comes out is, byte for
// byte, what went in.
//
// # Layout
//
// A bundle is a ZIP archive without compression, so that unzip takes it apart and zstdcat shows the trace. Its files come in this order:
//
//	manifest.json   what the bundle is: see [Manifest]
//	report.md       what was seen, in prose
//	expect.yaml     what the trace must give, as in a fixture
//	trace.txt.zst   the trace, in text form
//	...             side files, in the order of their names
//
// Unpacked into a folder it is a fixture; as it is, too.
//
// # Promises
//
// One spelling: the same manifest and parts always give the same bytes. Nothing in the archive depends on the clock or the machine.
//
// Every byte counts: the manifest has the size and the SHA-256 of each part, and from the manifest follows what every other byte of
// the archive has to be. A changed, missing, added or exchanged byte is an [Error] that names the part. The chain in the manifest binds
// its own fields to the parts; as long as nobody signs it, it says that a bundle is whole, not who made it. It is short enough to
// be quoted in a mail, and tells then that the bundle is that one.
//
// Bounded reading: [Open] reads the archive once and holds its manifest alone in memory. A part is as long as the manifest says, and
// so is what the trace unpacks to.
//
// Versions: Manifest.Format is [Format]. A newer one is [ErrVersion], which names the evtrace that wrote it.
package bundle
