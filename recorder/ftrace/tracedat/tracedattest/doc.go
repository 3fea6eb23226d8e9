// Package tracedattest writes trace.dat files for tests: of either version, byte order and size of a long, packed or not, with whatever
// stands in the pages. It shares no code with the reader in package tracedat, and was written from trace-cmd's manual pages and the
// kernel's ring buffer; where trace-cmd is installed, tests compare what it reads of such files.
package tracedattest
