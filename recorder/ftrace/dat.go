package ftrace

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder/ftrace/tracedat"
)

// datSource reads the binary files of trace-cmd.
type datSource struct {
	name   string
	strict bool
	file   *tracedat.Reader
	names  *names
	head   facts
	kinds  []datKind // by the events' ids
	tasks  []datTask // by cpu
	close_ func()

	ev     tracedat.Event
	held   bool // ev is still to be given: the gap in front of it was
	given  bool // a record was given
	broken tally
	cut    error // what ended the unpacking of the file, nil if nothing did
}

// datKind is what is done with the events of a format.
type datKind struct {
	known  bool
	name   uint16
	id     probe
	need   uint16
	event  []byte
	fields []datField
}

// datField is a field that has a meaning.
type datField struct {
	*tracedat.Field
	bit uint16
}

// datTask is the task that ran on a cpu when it was last heard of.
type datTask struct {
	pid  int32
	name []byte
}

// newDatSource begins to read a trace.dat. Errors are of the classes of package tracedat, or the reader's.
func newDatSource(r io.ReaderAt, size int64, name string, ns *names, opt *Options) (source, error) {
	file, err := tracedat.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if text, err := file.Text(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	} else if text != nil {
		src, err := newTextSource(text, name, ns, opt)
		if err != nil {
			file.Close()
			return nil, err
		}
		src.closer = func() { file.Close() }
		return src, nil
	}
	s := &datSource{name: name, strict: opt.Strict, file: file, names: ns, close_: func() { file.Close() }}
	if err := s.peek(r, size); err != nil {
		s.close()
		return nil, err
	}
	s.tasks = make([]datTask, file.CPUs())
	for i := range s.tasks {
		s.tasks[i].pid = -1
	}
	return s, nil
}

// peekDat is how many events are looked at for facts.
const peekDat = 20_000

// peek finds out what is to be known before the first record, with a reader of its own.
func (s *datSource) peek(r io.ReaderAt, size int64) error {
	file, err := tracedat.Open(r, size)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer file.Close()
	f := &s.head
	f.cpus = min(file.CPUs(), evtchn.MaxVCPUs)
	f.notes = slices.Clone(file.Notes())
	s.peekClock()
	for _, st := range file.Stats() {
		if st.Overrun > 0 {
			f.notes = append(f.notes, fmt.Sprintf("the kernel overwrote %s records of vcpu %d before they were read", group(st.Overrun), st.CPU))
		}
		if st.Dropped > 0 {
			f.notes = append(f.notes, fmt.Sprintf("the buffer of vcpu %d was full, and the kernel dropped %s records, of which the file does not say where they are missing",
				st.CPU, group(st.Dropped)))
		}
	}
	ns := s.names.fresh()
	var addrs []uint64
	seen := make(map[*tracedat.Format]bool)
	var ev tracedat.Event
	for n := 0; n < peekDat; n++ {
		switch err := file.Next(&ev); {
		case errors.Is(err, tracedat.ErrCorrupt):
			continue // it will be met again, and counted
		case err != nil:
			n = peekDat
			continue
		}
		if ev.Format == nil {
			continue
		}
		if t, ok := s.time(ev.Time); ok && !f.records {
			f.records, f.first = true, t
		}
		if ev.CPU < evtchn.MaxVCPUs {
			f.of.Add(evtchn.VCPU(ev.CPU))
		}
		if seen[ev.Format] {
			continue
		}
		seen[ev.Format] = true
		f.unmaskHC = f.unmaskHC || ns.find([]byte(ev.Format.Name), new(record)).id == prHCUnmask
		if ip, ok := ev.Uint(ev.Format.Field("__probe_ip")); ok && ns.find([]byte(ev.Format.Name), new(record)).id != prUnknown {
			addrs = append(addrs, ip)
		}
	}
	symbols, err := file.Symbols(addrs)
	if err != nil {
		f.note(fmt.Sprintf("its kallsyms cannot be read: %v", err))
	}
	for _, sym := range symbols {
		if f.abi == "" {
			f.abi = abiOf([]byte(sym))
		}
	}
	ids := make(map[probe]bool)
	for _, format := range file.Formats() {
		spec := ns.find([]byte(format.Name), new(record))
		ids[spec.id] = spec.id != prUnknown
	}
	// What has no format was not probed for. The formats do not say where the probes are.
	for name, spec := range probeByName {
		if ids[spec.id] {
			f.probes += "p:evtrace/" + name + " ?\n"
		}
	}
	return nil
}

// peekClock finds out what the times are.
func (s *datSource) peekClock() {
	f, clock := &s.head, s.file.Clock()
	f.clock = clock.Name
	switch clock.Name {
	case "", "local", "global", "perf", "mono", "mono_raw", "boot", "tai": // nanoseconds (kernel/trace/trace.c, trace_clocks)
		if clock.Offset != 0 {
			f.note(fmt.Sprintf("the file adds %d ns to the times of its clock, as trace-cmd report does", clock.Offset))
		}
	default:
		f.ticks = true
		if clock.Offset != 0 {
			f.note(fmt.Sprintf("the file would add %d ns to its times, which are ticks: they are left as they are", clock.Offset))
		}
		if clock.Mult != 0 {
			f.nsTick = math.Ldexp(float64(clock.Mult), -int(clock.Shift))
		}
	}
}

// time makes a record's time of an event's.
func (s *datSource) time(t uint64) (int64, bool) {
	if t > math.MaxInt64/2 {
		return 0, false
	}
	v := int64(t)
	if !s.head.ticks {
		v += s.file.Clock().Offset
	}
	return v, v >= 0
}

func (s *datSource) facts() facts { return s.head }

func (s *datSource) reading() reading {
	return reading{bytes: s.file.BytesRead(), broken: s.broken}
}

func (s *datSource) place() string {
	return fmt.Sprintf("cpu %d, the page at byte %d", s.ev.CPU, s.ev.Offset)
}

func (s *datSource) close() { s.close_() }

func (s *datSource) next(r *record, p *parts) error {
	for {
		if !s.held {
			if err := s.file.Next(&s.ev); errors.Is(err, tracedat.ErrCorrupt) {
				if s.strict {
					return fmt.Errorf("%s: %w: %w", s.name, ErrLine, err)
				}
				s.broken.add("%v", err)
				continue
			} else if s.cut != nil && err != nil {
				return s.cut
			} else if errors.Is(err, io.EOF) {
				return io.EOF
			} else if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if s.ev.Missed != 0 {
				s.held = true
				at := int64(0)
				if !s.given {
					at, s.given = s.head.first, true
				}
				gapRecord(r, evtchn.VCPU(min(s.ev.CPU, evtchn.MaxVCPUs)), uint64(max(s.ev.Missed, 0)), at)
				return nil
			}
		}
		s.held = false
		if s.ev.Format == nil {
			continue
		}
		err := s.record(r, p)
		if err == nil {
			s.given = true
			return nil
		}
		if s.strict {
			return fmt.Errorf("%s: %s: %s: %w: %w", s.name, s.place(), s.ev.Format.Name, ErrLine, err)
		}
		s.broken.add("%s: %s: %v", s.place(), s.ev.Format.Name, err)
	}
}

// record makes a record of the event.
func (s *datSource) record(r *record, p *parts) error {
	ev := &s.ev
	*r = record{cpu: int16(min(ev.CPU, math.MaxInt16)), pid: ev.PID, fl: rfFlags}
	var ok bool
	if r.time, ok = s.time(ev.Time); !ok {
		return errRange
	}
	if s.head.ticks {
		r.fl |= rfTicks
	}
	if ev.Flags&tracedat.IRQsOff != 0 {
		r.fl |= rfIRQsOff
	}
	if ev.Flags&(tracedat.HardIRQ|tracedat.NMI) != 0 {
		r.fl |= rfHardIRQ
	}
	task := &s.tasks[ev.CPU]
	if task.pid != ev.PID || task.name == nil {
		*task = datTask{ev.PID, []byte(s.file.Comm(ev.PID))}
	}
	k := s.kind(ev.Format)
	p.task, p.event = task.name, k.event
	r.name, r.id = k.name, k.id
	for i := range k.fields {
		f := &k.fields[i]
		v, ok := ev.Uint(f.Field)
		if !ok {
			continue
		}
		if v > math.MaxUint32 && (!f.Signed || int64(v) < -math.MaxUint32 || int64(v) > 0) {
			return errNumber
		}
		r.set(f.bit, uint32(v))
	}
	if r.have&k.need != k.need {
		return errField
	}
	return nil
}

// kind finds out once what is to be done with a format.
func (s *datSource) kind(f *tracedat.Format) *datKind {
	for len(s.kinds) <= f.ID {
		s.kinds = append(s.kinds, datKind{})
	}
	k := &s.kinds[f.ID]
	if k.known {
		return k
	}
	var r record
	spec := s.names.find([]byte(f.Name), &r)
	*k = datKind{known: true, name: r.name, id: spec.id, need: spec.need, event: []byte(f.Name)}
	if spec.need == 0 || spec.id == prSilent {
		return k
	}
	for i := range f.Fields {
		bit := spec.field([]byte(f.Fields[i].Name))
		if spec.id == prIRQEntry || spec.id == prIRQExit {
			bit &= spec.need // the kernel's own events have other fields of these names
		}
		if bit != 0 {
			k.fields = append(k.fields, datField{&f.Fields[i], bit})
		}
	}
	return k
}

// newPackedDat unpacks a trace.dat to a temporary file and begins to read it. Of one that is cut, it reads what comes out.
func newPackedDat(packed io.Reader, name string, ns *names, opt *Options) (source, func(), error) {
	raw := &counter{r: packed}
	r, stop, err := decompressor(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	defer stop()
	f, err := os.CreateTemp("", "evtrace-")
	if err != nil {
		return nil, nil, err
	}
	closer := func() {
		f.Close()
		os.Remove(f.Name())
	}
	size, cut := io.Copy(f, r)
	src, err := newDatSource(f, size, name, ns, opt)
	if cut != nil {
		cut = fmt.Errorf("%s: %w", name, cutError(cut, raw.n))
		if err != nil {
			err = cut
		}
	}
	if err != nil {
		closer()
		return nil, nil, err
	}
	if s, ok := src.(*datSource); ok {
		s.cut = cut
	}
	return src, closer, nil
}
