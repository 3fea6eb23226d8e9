package consoledump

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// ErrDomain is the class of errors about a domain of which a text has no dump.
var ErrDomain = errors.New("no dump of that domain")

// Lowest stands for the lowest domain of a text.
const Lowest = -1

// ImportOptions say what becomes of a text. The zero value imports the control domain: see Lowest.
type ImportOptions struct {
	Options
	Domain int // Lowest: whichever is the lowest
}

// Importer is an evtchn.Source: the dumps of one domain as readings of its ports and vcpus. It is for one goroutine.
//
// Nothing is known of what happened between two dumps. A domain of which no dump of key e has a time stamp gets the number of the dump
// as its time. All readings of a dump have the time at which it began.
type Importer struct {
	name  string
	over  *overview
	dom   int
	meta  evtchn.Meta
	rd    *Reader
	src   io.Closer
	clock dump.Clock

	out    []evtchn.Event
	pos    int
	seq    evtchn.Seq
	now    evtchn.Time
	number int
	ports  map[evtchn.Port]dump.Port // the last binding of each
	done   bool
	beyond int // readings of vcpus or ports that the trace cannot have
	back   int // dumps stamped before the one before them
}

// NewImporter reads a text twice, for which open opens it. The errors are those of open and of Reader.Next, or of class ErrDomain.
func NewImporter(open func() (io.ReadCloser, error), name string, opt ImportOptions) (*Importer, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	first := opt.Options
	first.Progress = nil
	over, err := survey(r, name, first)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	im := &Importer{name: name, over: over, dom: opt.Domain, ports: map[evtchn.Port]dump.Port{}}
	if im.dom == Lowest {
		for dom, x := range over.domains {
			if x.presses > 0 && (im.dom == Lowest || dom < im.dom) {
				im.dom = dom
			}
		}
	}
	x := over.domains[im.dom]
	if x == nil || x.presses == 0 {
		if len(over.domains) == 0 {
			return nil, fmt.Errorf("%s: %w: no dump says which domain it is of", name, ErrDomain)
		}
		return nil, fmt.Errorf("%s: %w: there are ports of domain %s", name, ErrDomain, over.list())
	}
	im.clock = x.clock()
	im.meta = evtchn.Meta{Format: evtchn.FormatVersion, Tool: "consoledump", Source: evtchn.SourceObserved, ABI: x.abi, VCPUs: min(max(x.vcpus, 1), evtchn.MaxVCPUs),
		WordBits: 64, Unit: "ns", NsPerTick: 1, Origin: name}
	if x.bits == 32 {
		im.meta.WordBits = 32
	}
	if im.meta.ABI == "" {
		im.meta.ABI = "2l"
	}
	switch im.clock {
	case dump.ClockBoot:
		im.meta.Clock = "console"
	case dump.ClockDate, dump.ClockYearly:
		im.meta.Clock = "date"
	default:
		im.meta.Clock, im.meta.Unit = "ordinal", "ticks"
	}
	if r, err = open(); err != nil {
		return nil, err
	}
	im.rd, im.src = NewReader(r, name, opt.Options), r
	return im, nil
}

// Close closes the text.
func (im *Importer) Close() error { return im.src.Close() }

// Meta gives what is known of the trace before its first event.
func (im *Importer) Meta() evtchn.Meta { return im.meta }

// FinalMeta adds to Meta what the text turned out to be; after io.EOF it is final.
func (im *Importer) FinalMeta() evtchn.Meta {
	m := im.meta
	m.Events, m.Complete = uint64(im.seq), im.done
	x := im.over.domains[im.dom]
	m.Counts = map[string]uint64{"key e": uint64(x.presses), "key q": uint64(x.dumps - x.presses)}
	say := func(format string, args ...any) { m.Notes = append(m.Notes, fmt.Sprintf(format, args...)) }
	say("these are dumps of Xen's console: what happened between them is not known, and a port that only one of them shows may have been in flight")
	if len(im.over.domains) > 1 {
		say("the trace is of domain %d; the text has dumps of domains %s", im.dom, im.over.list())
	}
	if n := im.over.homeless; n > 0 {
		say("%s left out, of which the beginning is missing, and with it the domain", count(n, "dump"))
	}
	if n := im.over.tables; n > 0 {
		say("%s of lsevtchn left out: it does not say of which domain it is", count(n, "table"))
	}
	if im.meta.Unit == "ticks" {
		say("the dumps have no time stamps, or not all: times are the numbers of the dumps")
	}
	if x.others > 0 {
		say("%s of another ABI left out", count(x.others, "dump"))
	}
	if im.back > 0 {
		say("%s stamped before the one before it, and set to that time", count(im.back, "dump"))
	}
	if im.beyond > 0 {
		say("%s of ports or vcpus that the trace cannot have", count(im.beyond, "reading"))
	}
	s := im.over.sum
	if s.Broken > 0 {
		say("%s could not be read, the first at line %d: %q", count(s.Broken, "row"), s.First.Line, s.First.Text)
	}
	if s.Lost > 0 {
		say("lines are missing at %s, the first at line %d: %q", count(s.Lost, "place"), s.LostAt.Line, s.LostAt.Text)
	}
	if s.Cut {
		say("the text ends within line %d, which may be cut", s.Lines)
	}
	return m
}

// Next gives the next event. It returns io.EOF at the end of the text; other errors are those of Reader.Next.
func (im *Importer) Next(ev *evtchn.Event) error {
	for im.pos >= len(im.out) {
		im.out, im.pos = im.out[:0], 0
		d, err := im.rd.Next()
		if err != nil {
			im.done = im.done || err == io.EOF
			return err
		}
		im.dump(d)
	}
	*ev = im.out[im.pos]
	im.pos++
	return nil
}

// dump turns a dump into events.
func (im *Importer) dump(d *dump.Dump) {
	dom := d.Domain
	switch d.Source {
	case dump.Lsevtchn:
		return
	case dump.Guest:
		var ok bool
		if dom, ok = im.over.guestDomain(d); !ok {
			return
		}
	case dump.KeyE:
		if abi := d.Format.ABI(); abi != "" && abi != im.meta.ABI {
			return
		}
	}
	if dom != im.dom {
		return
	}
	im.number++
	if d.Source != dump.Guest { // whose stamps are of its own clock
		im.at(d)
	}
	im.add(evtchn.Event{Kind: evtchn.KindDump, Args: [3]uint64{uint64(im.number), uint64(d.Line), uint64(len(d.Ports) + len(d.VCPUs))}})
	for i := range d.VCPUs {
		im.vcpu(&d.VCPUs[i])
	}
	if d.Source != dump.KeyE {
		return
	}
	for _, v := range d.Pollers {
		im.target(v, evtchn.Event{Kind: evtchn.KindSnapVCPU, Args: [3]uint64{0, uint64(evtchn.Unknown), uint64(evtchn.Unknown)}, Res: uint64(evtchn.Polling)})
	}
	for i := range d.Ports {
		im.port(&d.Ports[i])
	}
	if d.Whole {
		im.closed(d)
	}
}

// at moves the trace's time to that of the dump.
func (im *Importer) at(d *dump.Dump) {
	t := evtchn.Time(im.number)
	if im.clock != dump.ClockNone {
		t = evtchn.Time(d.Time.At)
	}
	if t < im.now && im.seq > 0 {
		im.back++
		return
	}
	im.now = t
}

func (im *Importer) add(ev evtchn.Event) {
	im.seq++
	ev.Seq, ev.Time, ev.Dom = im.seq, im.now, evtchn.DomID(im.dom)
	ev.VCPU = evtchn.NoVCPU
	im.out = append(im.out, ev)
}

// target adds an event about a vcpu.
func (im *Importer) target(v evtchn.VCPU, ev evtchn.Event) {
	if int(v) >= im.meta.VCPUs {
		im.beyond++
		return
	}
	ev.Args[0] = uint64(v)
	im.add(ev)
}

func (im *Importer) vcpu(v *dump.VCPU) {
	im.target(v.ID, evtchn.Event{Kind: evtchn.KindSnapVCPU, Args: [3]uint64{0, uint64(v.Up), uint64(v.Umask)}, Res: uint64(v.Run())})
	if v.SelKnown {
		im.target(v.ID, evtchn.Event{Kind: evtchn.KindSnapSel, Args: [3]uint64{0, v.Sel}})
	}
}

// port adds the reading of a port: its record where it has changed, and its bits.
func (im *Importer) port(p *dump.Port) {
	limit := im.meta.WordBits * im.meta.WordBits
	if im.meta.ABI == "fifo" {
		limit = maxPort
	}
	switch {
	case int(p.Port) >= limit:
		im.beyond++
		return
	case p.InFlux:
		return
	}
	if old, ok := im.ports[p.Port]; !ok || !old.SameBinding(p) || old.Notify != p.Notify {
		im.add(evtchn.Event{Kind: evtchn.KindSnapPort, Port: p.Port, Args: [3]uint64{uint64(p.Status), uint64(uint16(p.Notify)), p.Peer()}})
		im.ports[p.Port] = *p
	}
	told, link := p.Sel, uint64(p.Next)
	switch p.Link {
	case dump.Linked:
		told, link = evtchn.One, link|1<<29
	case dump.Unlinked, dump.NoPage:
		told = evtchn.Zero
	}
	if p.Busy {
		link |= 1 << 28
	}
	if p.Consumer != 0 {
		told = evtchn.Unknown // Xen takes its events without the bits
	}
	im.add(evtchn.Event{Kind: evtchn.KindSnapBits, Port: p.Port, Args: [3]uint64{uint64(p.Pending), uint64(p.Masked), uint64(told)}, Res: link})
}

// closed adds that ports are free which the dump does not list.
func (im *Importer) closed(d *dump.Dump) {
	var gone []evtchn.Port
	for p := range im.ports {
		if d.Port(p) == nil {
			gone = append(gone, p)
		}
	}
	slices.Sort(gone)
	for _, p := range gone {
		delete(im.ports, p)
		im.add(evtchn.Event{Kind: evtchn.KindSnapPort, Port: p, Args: [3]uint64{uint64(evtchn.PortFree)}, Flags: evtchn.FlagInferred})
	}
}
