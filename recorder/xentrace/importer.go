package xentrace

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// Options of an import. The zero value is good.
type Options struct {
	Strict   bool              // damage is an error instead of a note
	Domain   evtchn.DomID      // whose vcpus are told of
	VCPUs    int               // how many it has; 0: 1, which Scan can tell better
	TSCHz    float64           // frequency of the TSC in Hz; 0: not known, and times are ticks
	Progress func(bytes int64) // told now and then how many bytes have been read, unpacked
	_        struct{}
}

// Importer is an evtchn.Source of what a trace tells of a domain's vcpus. It is for one goroutine.
type Importer struct {
	opt  Options
	name string
	r    *Reader
	t    *tracker

	windows uint64       // of the reader, when the tracker was last told
	damaged uint64       // bytes, the same
	states  []*vcpuStat  // the domain's, by number
	shown   []shownState // what the events so far say of them
	out     []evtchn.Event
	pos     int // in out
	seq     evtchn.Seq
	now     evtchn.Time // of the event made last

	from    evtchn.Time // nothing is to be told of before
	begun   bool        // the states at from have been told
	beside  bool        // From was called
	eof     bool
	err     error
	changes uint64 // state changes that were told
	calls   uint64 // hypercalls that were told
	beyond  uint64 // items of vcpus that the trace should not have
	totals  *Totals
}

// shownState is a vcpu's state as the events have it.
type shownState struct {
	state evtchn.RunState
	cpu   uint16
}

// New imports the trace that r gives, unpacked. The name is for messages and for Meta.Origin. An error is of class ErrFormat or one of r's.
func New(r io.Reader, name string, opt Options) (*Importer, error) {
	switch {
	case opt.TSCHz < 0 || math.IsNaN(opt.TSCHz) || math.IsInf(opt.TSCHz, 0):
		return nil, fmt.Errorf("TSC frequency: got %v Hz, want a positive number", opt.TSCHz)
	case opt.VCPUs < 0 || opt.VCPUs > evtchn.MaxVCPUs:
		return nil, fmt.Errorf("%d vcpus, want 1 to %d", opt.VCPUs, evtchn.MaxVCPUs)
	}
	opt.VCPUs = max(opt.VCPUs, 1)
	im := &Importer{opt: opt, name: name, r: NewReader(r, opt.Strict), t: newTracker(), from: math.MinInt64,
		states: make([]*vcpuStat, opt.VCPUs), shown: make([]shownState, opt.VCPUs)}
	if err := im.read(); err != nil && im.r.stat.Records == 0 {
		return nil, err
	} else if err != nil {
		im.err = err
	}
	return im, nil
}

// Meta gives what is known of the trace before its first event.
func (im *Importer) Meta() evtchn.Meta {
	m := evtchn.Meta{Format: evtchn.FormatVersion, Tool: "xentrace", Source: evtchn.SourceObserved, ABI: "2l", VCPUs: im.opt.VCPUs,
		WordBits: 64, Clock: ClockTSC, Unit: "ticks", NsPerTick: 1, Origin: im.name}
	if im.opt.TSCHz > 0 {
		m.NsPerTick = 1e9 / im.opt.TSCHz
	}
	return m
}

// ClockTSC is Meta.Clock of a trace whose times are the physical CPUs' time stamp counters, as Linux calls that trace clock.
const ClockTSC = "x86-tsc"

// FinalMeta adds to Meta what the records read so far have shown; after io.EOF it is final.
func (im *Importer) FinalMeta() evtchn.Meta {
	m := im.Meta()
	m.Complete = im.eof && im.err == nil && !im.r.Stats().Cut && im.r.Stats().Damage.Bytes == 0
	m.Events = uint64(im.seq)
	st := im.r.Stats()
	m.Records, m.Broken, m.BrokenAt = st.Records, st.Damage.Places, st.Damage.First
	m.Counts = make(map[string]uint64)
	im.t.counts.each(func(id ID, n uint64) {
		name := id.String()
		m.Counts[name] += n
		if !id.Known() && len(m.Unknown) < maxUnknown {
			m.Unknown = append(m.Unknown, name)
		}
	})
	m.Notes = append([]string{"xentrace names neither a port nor what is done with it: the trace tells when the vcpus ran, and nothing of what became of an event"},
		im.Notes()...)
	if im.opt.TSCHz == 0 {
		m.Notes = append(m.Notes, "the frequency of the TSC is not known (no xl-dmesg.txt with \"Detected ... MHz processor\"): times and delays are ticks; --tsc-hz sets it, and xl info has it in MHz, as cpu_mhz")
	}
	return m
}

// maxUnknown is how many records without a name are listed: damage makes many.
const maxUnknown = 64

// Totals sums up what has been read; after io.EOF, the whole trace.
func (im *Importer) Totals() Totals {
	if im.totals == nil || !im.eof {
		t := im.t.totals()
		im.totals = &t
	}
	return *im.totals
}

// From makes the source one of what went on beside another trace: it passes over what was before t, and tells as of t what that left.
// At the end of the trace all states become unknown. It must be called before Next.
func (im *Importer) From(t evtchn.Time) { im.from, im.beside = t, true }

// Next gives the next event. It returns io.EOF at the end. Damage that is not to be passed over, and errors of the source, come after all
// events before them, with the name of the trace and the offset.
func (im *Importer) Next(ev *evtchn.Event) error {
	for im.pos >= len(im.out) {
		im.out, im.pos = im.out[:0], 0
		if im.eof && len(im.t.order.pending) == 0 {
			if im.beside && im.begun {
				im.begun = false
				im.forget()
				continue
			}
			if im.err != nil {
				return im.err
			}
			return io.EOF
		}
		items := im.t.order.take()
		for i := range items {
			im.item(&items[i])
		}
		im.t.order.drop()
		if !im.eof {
			if err := im.read(); err != nil {
				im.err = err
			}
		}
	}
	*ev = im.out[im.pos]
	im.pos++
	return nil
}

// read reads on until something is ready.
func (im *Importer) read() error {
	var rec Record
	o := &im.t.order
	for o.ready == 0 && !o.full() {
		err := im.r.Next(&rec)
		if err != nil {
			im.eof = true
			o.end()
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("%s: %w", im.name, err)
		}
		if w := im.r.stat.Windows; w != im.windows {
			im.windows = w
			im.t.window(rec.CPU)
			if im.opt.Progress != nil {
				im.opt.Progress(im.r.off)
			}
		}
		if d := im.r.stat.Damage.Bytes; d != im.damaged {
			im.damaged = d
			im.t.damaged()
		}
		im.t.add(&rec)
	}
	return nil
}

// item makes events of an item.
func (im *Importer) item(it *item) {
	if it.kind == itemLost || it.kind == itemFound {
		im.lose(it)
		return
	}
	v := im.t.vcpus[it.who]
	mine := it.who.dom() == uint16(im.opt.Domain)
	n := int(it.who.num())
	if mine && n >= len(im.states) {
		im.beyond++
		mine = false
	}
	told := mine && im.begin(it.tsc)
	if it.kind == itemCall {
		if told {
			im.calls++
			im.event(evtchn.Event{Time: evtchn.Time(it.tsc), Kind: evtchn.KindXenCall, VCPU: evtchn.VCPU(n), Ctx: evtchn.CtxXen,
				Args: [3]uint64{callEvtchn}})
		}
		return
	}
	v.set(it, im.t.cpus[it.cpu].first)
	if !mine {
		return
	}
	im.states[n] = v
	if told && (it.kind == itemState || im.shown[n].state != evtchn.Running) {
		from := runStates[it.from]
		if it.from == 2 && im.shown[n].state == evtchn.Polling {
			from = evtchn.Polling
		}
		im.tell(n, evtchn.Time(it.tsc), from, runStates[it.to], it.cpu, 0)
		im.changes++
	}
}

// begin reports whether the time is one to tell of. The first such one is preceded by the states of all vcpus.
func (im *Importer) begin(tsc uint64) bool {
	if evtchn.Time(tsc) < im.from {
		return false
	}
	if im.beside && !im.begun {
		im.begun = true
		for n, v := range im.states {
			if v != nil && v.state != stateUnknown {
				im.tell(n, im.from, evtchn.RunUnknown, runStates[v.state], v.cpu, evtchn.FlagInferred)
			}
		}
	}
	return true
}

// tell makes the event of a change of state.
func (im *Importer) tell(n int, at evtchn.Time, from, to evtchn.RunState, cpu uint16, fl evtchn.Flags) {
	im.shown[n] = shownState{to, cpu}
	im.event(evtchn.Event{Time: at, Kind: evtchn.KindRunState, VCPU: evtchn.NoVCPU, Flags: fl, Res: uint64(cpu),
		Args: [3]uint64{uint64(n), uint64(from), uint64(to)}})
}

func (im *Importer) event(ev evtchn.Event) {
	im.seq++
	ev.Seq, ev.Dom = im.seq, im.opt.Domain
	im.now = max(im.now, ev.Time)
	ev.Time = im.now
	im.out = append(im.out, ev)
}

// lose forgets the states that could have changed while records of a CPU were lost: all but those of vcpus that run on another one.
func (im *Importer) lose(it *item) {
	for _, v := range im.t.vcpus {
		if v.state == stateUnknown || v.state == 0 && v.cpu != it.cpu {
			continue
		}
		if v.started {
			v.leave(it.tsc)
		}
		v.state, v.since = stateUnknown, it.tsc
	}
	if evtchn.Time(it.tsc) < im.from {
		return
	}
	for n, v := range im.states {
		if v != nil && v.state == stateUnknown && im.shown[n].state != evtchn.RunUnknown {
			im.begin(it.tsc)
			im.tell(n, evtchn.Time(it.tsc), im.shown[n].state, evtchn.RunUnknown, it.cpu, 0)
		}
	}
}

// forget tells, where the trace ends, that no state is known from there on.
func (im *Importer) forget() {
	at := max(im.from, evtchn.Time(min(im.t.last, math.MaxInt64)))
	for n, s := range im.shown {
		if s.state != evtchn.RunUnknown {
			im.tell(n, at, s.state, evtchn.RunUnknown, s.cpu, evtchn.FlagInferred)
		}
	}
}

// Notes says what was found and what is missing, a sentence each without its full stop.
func (im *Importer) Notes() []string {
	var notes []string
	say := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	t, st := im.t, im.r.Stats()
	if im.changes == 0 {
		switch {
		case !t.counts.class(1):
			say("%s has no record of the scheduler: when the vcpus ran is not known (xentrace -e all, or a mask with 0x0002f000)", im.name)
		default:
			say("%s tells of no change of state of a vcpu of domain %d%s", im.name, im.opt.Domain, im.others())
		}
	}
	if t.unsure > 0 {
		say("%s not counted for a vcpu: which one the CPU was running is known only from the first record of the scheduler on that CPU, in %s",
			count(t.unsure, "hypercall"), im.name)
	}
	if t.losses > 0 {
		say("Xen's trace buffers were full at %s: %s lost, and in between the states of the vcpus are not known (a larger buffer: xentrace -S)",
			count(t.losses, "place"), count(t.lost, "record"))
	}
	if d := st.Damage; d.Places > 0 {
		say("%s passed over in %s, %s in all; the first at %s", count(d.Places, "damaged place"), im.name, count(d.Bytes, "byte"), d.First)
	}
	if st.Cut {
		say("%s ends within a window: it is cut at byte %d", im.name, st.Bytes)
	}
	if t.odd > 0 {
		say("%s in %s with less than it should tell, or of a vcpu that cannot be", count(t.odd, "record"), im.name)
	}
	if t.order.dropped > 0 {
		say("%s left out because the windows of %s are too far out of order", count(t.order.dropped, "record"), im.name)
	}
	if im.beyond > 0 {
		say("%s of vcpus that domain %d should not have", count(im.beyond, "record"), im.opt.Domain)
	}
	var skewed uint64
	for _, v := range t.vcpus {
		skewed += v.skewed
	}
	if skewed > 0 {
		say("%s in %s without the one before: a run state begins that did not end; records are missing, or the time stamps of the CPUs differ", count(skewed, "change"), im.name)
	}
	return notes
}

// others lists the domains that there are.
func (im *Importer) others() string {
	var doms []evtchn.DomID
	for _, id := range im.t.sortedIDs() {
		doms = id.addTo(doms)
	}
	if len(doms) == 0 {
		return ""
	}
	return ": it has those of " + DomainsText(doms)
}

// addTo adds a vcpu's domain to a sorted list of domains, unless it is one of Xen's own, such as that of the idle vcpus.
func (v vcpuID) addTo(doms []evtchn.DomID) []evtchn.DomID {
	d := evtchn.DomID(v.dom())
	i, found := slices.BinarySearch(doms, d)
	if found || d >= firstReserved {
		return doms
	}
	return slices.Insert(doms, i, d)
}

// firstReserved is the first number of a domain that is none: DOMID_FIRST_RESERVED.
const firstReserved = 0x7ff0

// DomainsText lists domains for people: "domain 0", "domains 0 and 1", "domains 0, 1 and 7".
func DomainsText(doms []evtchn.DomID) string {
	s := "domains "
	if len(doms) == 1 {
		s = "domain "
	}
	for i, d := range doms {
		switch {
		case i == 0:
		case i == len(doms)-1:
			s += " and "
		default:
			s += ", "
		}
		s += fmt.Sprint(d)
	}
	return s
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + " " + what + "s"
}

// Range is what Scan finds.
type Range struct {
	First, Last evtchn.Time // the lowest and the highest time; both 0 without a record
	VCPUs       int         // the domain's: the highest number, plus one; 0 if there is none
	Records     uint64
	Domains     []evtchn.DomID // of which there are vcpus, in order; none if the trace has no records of the scheduler
}

// Scan reads a whole trace for its range of times, its domains and the number of the given one's vcpus. Errors are those of Reader.Next, but for
// damage, which it passes over.
func Scan(r io.Reader, dom evtchn.DomID) (Range, error) {
	rd := NewReader(r, false)
	var rec Record
	var s Range
	for {
		err := rd.Next(&rec)
		if errors.Is(err, io.EOF) {
			return s, nil
		} else if err != nil {
			return s, err
		}
		s.Records++
		if rec.TSC != 0 {
			at := evtchn.Time(rec.TSC)
			if s.First == 0 {
				s.First = at
			}
			s.First, s.Last = min(s.First, at), max(s.Last, at)
		}
		if (rec.ID&idRunstateAll == idRunstate || rec.ID == idContinue) && rec.Words > 0 {
			id := vcpuID(rec.Data[0])
			s.Domains = id.addTo(s.Domains)
			if id.dom() == uint16(dom) && id.num() < evtchn.MaxVCPUs {
				s.VCPUs = max(s.VCPUs, int(id.num())+1)
			}
		}
	}
}
