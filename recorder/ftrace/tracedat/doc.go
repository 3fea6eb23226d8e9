// Package tracedat reads the binary files of trace-cmd, trace.dat, of the versions 6 and 7.
//
// Open a Reader, then call Next until io.EOF. A Reader knows the format alone: what an event means is the caller's business. It
// finds an event's fields by name, in the formats that the file carries:
//
//	r, err := tracedat.Open(file, size)
//	var ev tracedat.Event
//	for {
//		err := r.Next(&ev)
//		...
//		port, ok := ev.Uint(ev.Format.Field("port"))
//	}
//
// # The format
//
// A file begins with the bytes 0x17 0x08 0x44, "tracing", a version, the byte order (0 little, 1 big), the size of a long, and the
// size of a page. What follows is described in trace-cmd's manual pages trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5):
//
//   - Version 6 is one sequence: header_page and header_event, the formats of ftrace's own events, those of all other events, kallsyms,
//     the formats of trace_printk, the names of processes, the number of cpus, options, and a table with the place of each cpu's
//     data. If there is an option TRACECLOCK, the contents of tracefs' trace_clock follow the table.
//   - Version 7 is sections, each with an id, flags and its size; sections of options say where the others are. A section may be
//     compressed, by zstd or zlib, as one block; the cpus' data is compressed in chunks of whole pages.
//
// The data of a cpu are pages of the kernel's ring buffer (include/linux/ring_buffer.h): the time of the page's first event, how much
// of it is used, and events. An event begins with a word of 5 bits of type or length and 27 bits of time since the event before;
// padding, longer times and absolute times are events as well. A page tells whether events were lost before it, and sometimes how
// many.
//
// # What is promised
//
// The events of all cpus come in the order of time; those of the same time in that of the cpus. A file is read a few pages of each cpu
// at a time, so memory does not grow with it, and nothing is allocated because the file says so: every size is
// compared with what is there. Damage in a page costs the rest of that page and is told by an error of class ErrCorrupt, after which
// Next can be called again. Of a file that is cut, everything before the cut is read, and then an error of class
// io.ErrUnexpectedEOF says where that was.
//
// # What it refuses to do
//
// It does not read the ring buffer of Linux before 2.6.31, version 5 and older, or the separate files of a recording that was not
// finished (trace.dat.cpu0: trace-cmd restore makes a file of them). It prints nothing: print formats, printk formats and plugins are not
// looked at. It does not apply TIME_SHIFT, by which trace-cmd moves the times of a guest to its host's clock; Notes says so.
//
// A file of version 7 that is cut before its last section of options cannot be read at all (ErrNoData): nothing else says which cpu's the
// data are. In version 6, only the top instance is read; the others are named.
package tracedat
