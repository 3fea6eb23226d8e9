package ftrace

import (
	"fmt"
	"io"
	"os"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder/ftrace/tracedat"
)

// source gives the records of a capture one by one, in the order in which the importer is to take them. The importer asks for the next
// record only while it has room for it, so a source need hold no more than it must to put records in order.
//
// An event's name goes through names.find and a field's through fieldOf (or through the spec that find gives, for fields that the user
// named), so that a record means the same whatever it was read from.
type source interface {
	// next fills in the next record, which may hold anything before, and the words of it, which are good until the next call. A record of
	// id prGap says that records of its vcpu (of all, if that is -1) were lost here: their number, if it is known, is in a; a time of 0 is
	// that of the record before it.
	//
	// It returns io.EOF at a clean end. Any other error is final too, and says where in the input it happened; of class ErrLine
	// where a record cannot be read and Options.Strict forbids to go on.
	next(r *record, p *parts) error

	// place says where the record stands that next gave last: "line 12", or with the name of its file where there are several.
	place() string

	// facts is what the source knows before its first record. The importer adds what the side files say.
	facts() facts

	// reading is what it has come upon so far.
	reading() reading

	close()
}

// openFile gives the source of a file, by what it holds. The name is for messages.
func openFile(path, name string, ns *names, opt *Options) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s: is a directory, want a capture", path)
	}
	src, closer, err := sourceOf(f, name, ns, opt)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &fileSource{src, func() {
		closer()
		f.Close()
	}}, nil
}

// sourceOf gives the source for what a file holds. The function releases what it needed besides.
func sourceOf(f *os.File, name string, ns *names, opt *Options) (source, func(), error) {
	none := func() {}
	binary, packed, err := isDat(f)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	case !binary:
		src, err := newTextSource(f, name, ns, opt)
		return src, none, err
	case packed:
		return newPackedDat(f, name, ns, opt)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	src, err := newDatSource(f, info.Size(), name, ns, opt)
	return src, none, err
}

// isDat reports whether a file is one of trace-cmd's, maybe packed. The file is at its beginning afterwards.
func isDat(f *os.File) (binary, packed bool, err error) {
	r, stop, err := decompressor(f)
	if err != nil {
		return false, false, err
	}
	defer stop()
	head := make([]byte, 16)
	n, _ := io.ReadFull(r, head) // who reads it all meets the error again
	binary = tracedat.Is(head[:n])
	raw := make([]byte, 16)
	n, _ = f.ReadAt(raw, 0)
	_, err = f.Seek(0, io.SeekStart)
	return binary, binary && !tracedat.Is(raw[:n]), err
}

// fileSource closes what a source reads from.
type fileSource struct {
	source
	closer func()
}

func (s *fileSource) close() {
	s.source.close()
	s.closer()
}

// facts is what a source knows of its capture before it has given a record. The zero values say that something is not known.
type facts struct {
	cpus     int            // vcpus: those that a header counts or early records are of
	of       evtchn.VCPUSet // vcpus of early records
	records  bool           // there is a record
	first    int64          // its time
	counted  bool           // the capture says how many records it has:
	kept     uint64         // those that are left,
	written  uint64         // and those that there have been
	latency  bool           // the latency format: seconds, or microseconds since the start, whatever the clock
	ticks    bool           // times are whole numbers of an unknown unit, not nanoseconds
	clock    string         // trace clock in force, in tracefs' spelling
	nsTick   float64        // nanoseconds per tick
	abi      string         // "2l" or "fifo"
	unmaskHC bool           // the unmask hypercall was probed for
	probes   string         // definitions of all probes, as tracefs' kprobe_events has them; "" if they are not known
	notes    []string
}

// overwritten reports whether the oldest records are gone.
func (h *facts) overwritten() bool { return h.counted && h.kept < h.written }

// reading is what a source has come upon so far.
type reading struct {
	bytes  int64  // read of the file, as it is stored
	lines  uint64 // of text; 0 for a binary
	broken tally  // what is no record and should be one
	seams  tally  // further captures that follow in the same file
	cut    string // the place of a record that the file ends within, or ""
}

// tally counts an oddity and remembers the first place.
type tally struct {
	n     uint64
	first string
}

func (t *tally) add(format string, args ...any) {
	if t.n == 0 {
		t.first = fmt.Sprintf(format, args...)
	}
	t.n++
}

// fieldOf gives the bit of a field by its name in our probes, or 0 for a field of no consequence.
func fieldOf(name string) uint16 {
	switch name {
	case "port", "p0":
		return fPort
	case "cpu", "vcpu":
		return fCPU
	case "ret":
		return fRet
	case "bytes":
		return fBytes
	case "irq":
		return fIRQ
	case "a0":
		return fA0
	case "old":
		return fOld
	case "vec":
		return fVec
	case "a1":
		return fA1
	case "cmd":
		return fCmd
	}
	return 0
}

// set sets a field of a record.
func (r *record) set(bit uint16, v uint32) {
	switch bit {
	case fPort:
		r.a = v
	case fCPU, fRet, fBytes:
		r.b = v
	case fIRQ, fA0:
		r.c = v
	case fOld, fVec, fA1:
		r.d = v
	case fCmd:
		r.cmd = v
	default:
		return
	}
	r.have |= bit
}

// gapRecord makes a record of a gap of a vcpu, or of all (-1).
func gapRecord(r *record, cpu evtchn.VCPU, lost uint64, time int64) {
	*r = record{id: prGap, cpu: int16(cpu), a: uint32(min(lost, 1<<32-1)), time: time}
}
