// Package store keeps a trace in a file: a bbolt database of compressed chunks of events, snapshots of the machine to seek
// by, and an index of ports.
//
// Start with [Create] to write a trace and [Open] to read one. [Check] verifies a file completely. [File.Events] streams the events
// in order; [Scan] looks for some of them on all processors, and leaves out the chunks that cannot have them.
//
// # Promises
//
//   - A trace grows in NAME.partial and gets its name in [Writer.Close]. After a kill, NAME.partial opens as it is, up to the
//     last batch that was committed, and says that it is incomplete.
//   - Reading never changes a file, and needs memory for one chunk and one state of the machine, whatever the trace's size.
//   - A damaged file is an error that names the file and the place. Every value carries a CRC-32C; the pages of the
//     database are checked before bbolt is let near them; bbolt's panics are caught.
//
// # Layout
//
// Integers in keys are big-endian, those in values are little-endian or varints. Every value begins with the CRC-32C of what
// follows it and of its bucket and key, so that a value cannot pass for another one.
//
//	meta       "version"   decimal version of this layout
//	           "trace"     evtchn.Meta as JSON
//	           "tip"       what is committed: numbers of events, chunks, keyframes, bytes; range of times
//	           "index"     written by Close: first Seq, time and size of every chunk, Seq of every keyframe
//	chunks     first Seq                  up to ChunkEvents events, by columns; at most 65,500 bytes
//	keyframes  Seq, part number           the state after that event, zstd, in parts of at most 65,500 bytes
//	ports      first Seq of the segment   for each port, which of the up to 32 chunks of the segment mention it
//	findings   version of the analyser    whatever it found, zstd
//
// A chunk does not hold its events as they are. Encoder and decoder guess each event from those before it in the chunk (what did this
// vcpu do the last time after these three steps, and with what values?), and only what was guessed wrong is kept: a byte for
// each event that says which fields those are, and the fields in columns of their own, each packed by Huffman codes. On simulated
// traces that makes 1 to 2.5 bytes an event. Since the guessing starts anew in every chunk, each kind, vcpu and port that a chunk has at
// all was guessed wrong there at least once: the short columns of those say what a chunk lacks, without decoding it.
//
// # What it refuses
//
// It does not judge events: it stores what it is given, in the order of Seq, and refuses only gaps in Seq and unknown kinds. It does
// not read files of a newer version, and never repairs one.
package store
