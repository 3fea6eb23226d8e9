package perfetto

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// Writer writes one trace. It is an evtchn.Sink.
type Writer struct {
	w        io.Writer
	err      error
	b        message // not yet written
	vcpus    []vcpuTrack
	ports    []portTracks
	limit    int     // of ports
	factor   float64 // nanoseconds per unit
	observed bool
	now      uint64
	named    []bool // event names that were written, by iid
	tracks   [firstVCPU]bool
	pending  uint64
	spurious uint64
	started  bool
}

// Tracks, by uuid. A port has two, from firstPort on.
const (
	trackVCPUs     = 1
	trackPorts     = 2
	trackOutside   = 3
	trackFindings  = 4
	trackPending   = 5 // counter
	trackSpurious  = 6 // counter
	firstVCPU      = 16
	firstPort      = 1 << 16
	trackFinalized = 2 // sequence of what is written at the end
)

// Event names, by iid: those of hypercalls come after these, and those of ports after them.
const (
	nameUpcall = 1 + iota
	namePending
	nameMasked
	nameSend
	nameVIRQ
	namePIRQ
	nameRaise
	nameSwallowed
	firstHypercall
	firstPortName = firstHypercall + 64
)

var eventNames = [firstHypercall]string{nameUpcall: "upcall", namePending: "pending", nameMasked: "masked", nameSend: "send", nameVIRQ: "virq",
	namePIRQ: "pirq", nameRaise: "raise", nameSwallowed: "swallowed"}

// sliceKind is what a slice on a vcpu's track is.
type sliceKind uint8

const (
	sliceNone sliceKind = iota
	sliceUpcall
	sliceHypercall
	sliceHandler
)

// vcpuTrack holds the slices of a vcpu that are open, the outermost first.
type vcpuTrack struct {
	open   [6]sliceKind
	port   evtchn.Port // of the innermost handler
	depth  int
	upcall bool // one of them is an upcall
	known  bool // the track was described
}

func (v *vcpuTrack) top() sliceKind {
	if v.depth == 0 {
		return sliceNone
	}
	return v.open[v.depth-1]
}

type portTracks struct {
	flow    uint64 // of the episode
	sent    uint64 // number of the send that has not set PEND yet
	pending bool
	masked  bool
	touched bool    // MASK was seen to be read or written
	known   [2]bool // the tracks were described
}

// flushAt is how much is gathered before it is written.
const flushAt = 32 << 10

// NewWriter begins a trace of that meta. Errors are those of evtchn.NewState.
func NewWriter(w io.Writer, meta evtchn.Meta) (*Writer, error) {
	s, err := evtchn.NewState(meta)
	if err != nil {
		return nil, err
	}
	wr := &Writer{w: w, vcpus: make([]vcpuTrack, len(s.V)), limit: s.Ports(), factor: 1, observed: s.Observed, b: make(message, 0, flushAt+4<<10)}
	if f := meta.NsPerTick; meta.Unit == "ticks" && f > 0 && !math.IsInf(f, 0) {
		wr.factor = f
	}
	return wr, nil
}

// Add writes what the event begins, ends or tells. An event of a vcpu, a port or a kind that the trace does not have is left out. The
// error is that of the io.Writer, and comes again with every later call.
func (w *Writer) Add(ev *evtchn.Event) error {
	if int(ev.VCPU) >= len(w.vcpus) || ev.VCPU < evtchn.NoVCPU || int(ev.Port) >= w.limit || !ev.Kind.Valid() {
		return w.err
	}
	w.now = max(w.now, w.at(ev.Time))
	var v *vcpuTrack
	if ev.VCPU >= 0 {
		v = &w.vcpus[ev.VCPU]
		if !v.upcall && ev.Ctx.Class() == evtchn.CtxUpcall && ev.Kind != evtchn.KindUpcallExit {
			for v.depth > 0 {
				w.pop(ev.VCPU, v)
			}
			w.push(ev.VCPU, v, sliceUpcall, nameUpcall, evtchn.NoPort, 0)
			v.upcall = true
		}
	}
	switch ev.Kind {
	case evtchn.KindHypercall:
		if v == nil {
			break
		}
		if v.top() == sliceHypercall {
			w.pop(ev.VCPU, v)
		}
		w.push(ev.VCPU, v, sliceHypercall, firstHypercall+min(ev.Args[0], 63), ev.Port, 0)
	case evtchn.KindReturn:
		if v != nil && v.top() == sliceHypercall {
			w.pop(ev.VCPU, v)
		}
	case evtchn.KindUpcallExit:
		w.leave(ev, v)
	case evtchn.KindDeliver, evtchn.KindHandled, evtchn.KindDrop, evtchn.KindRingPush:
		w.handler(ev, v)
	case evtchn.KindSend, evtchn.KindVIRQ, evtchn.KindPIRQ:
		w.instant(trackOutside, nameSend+uint64(ev.Kind-evtchn.KindSend), ev.Port, uint64(ev.Seq))
		if ev.Port != evtchn.NoPort {
			w.port(ev.Port).sent = uint64(ev.Seq)
		}
	default:
		if ev.Port != evtchn.NoPort {
			w.bits(ev)
		}
	}
	if len(w.b) >= flushAt {
		w.flush()
	}
	return w.err
}

// leave ends an upcall, and all in it.
func (w *Writer) leave(ev *evtchn.Event, v *vcpuTrack) {
	if ev.Args[0] == 0 {
		w.spurious++
		w.counter(trackSpurious, w.spurious)
	}
	for v != nil && v.upcall {
		w.pop(ev.VCPU, v)
	}
}

// handler begins or ends a handler.
func (w *Writer) handler(ev *evtchn.Event, v *vcpuTrack) {
	if v == nil || ev.Port == evtchn.NoPort {
		return
	}
	if ev.Kind != evtchn.KindDeliver {
		if v.top() == sliceHypercall { // whose end was not recorded
			w.pop(ev.VCPU, v)
		}
		if v.top() == sliceHandler && v.port == ev.Port {
			w.pop(ev.VCPU, v)
		}
		return
	}
	for v.top() == sliceHandler || v.top() == sliceHypercall {
		w.pop(ev.VCPU, v)
	}
	w.push(ev.VCPU, v, sliceHandler, firstPortName+uint64(ev.Port), evtchn.NoPort, w.port(ev.Port).flow)
	v.port = ev.Port
	w.port(ev.Port).flow = 0
}

// bits follows PEND and MASK.
func (w *Writer) bits(ev *evtchn.Event) {
	p := ev.Port
	switch ev.Kind {
	case evtchn.KindPendTAS:
		w.raise(ev)
	case evtchn.KindPendClear:
		w.setPending(p, false)
	case evtchn.KindPendRead:
		if ev.Res == 0 {
			w.setPending(p, false)
		} else if ev.Res == 1 {
			w.setPending(p, true)
		}
	case evtchn.KindMaskTAS:
		w.setMasked(p, true)
	case evtchn.KindMaskClear, evtchn.KindMaskTAC:
		w.setMasked(p, false)
	case evtchn.KindMaskRead:
		if ev.Res <= 1 {
			w.setMasked(p, ev.Res == 1)
		}
	case evtchn.KindPortBind:
		if !w.observed && !w.port(p).touched {
			w.setMasked(p, true) // as all ports are when a system starts
		}
	case evtchn.KindPortClose:
		w.setPending(p, false)
		w.setMasked(p, false)
		w.port(p).touched = false
	case evtchn.KindSnapBits:
		if ev.Args[0] <= 1 {
			w.setPending(p, ev.Args[0] == 1)
		}
		if ev.Args[1] <= 1 {
			w.setMasked(p, ev.Args[1] == 1)
		}
	}
}

// raise begins an episode, or says that one was under way.
func (w *Writer) raise(ev *evtchn.Event) {
	t := w.port(ev.Port)
	if ev.Res == 1 {
		w.setPending(ev.Port, true)
		w.instant(w.portTrack(ev.Port, 0), nameSwallowed, evtchn.NoPort, t.sent)
		t.sent = 0
		return
	}
	if t.pending {
		w.setPending(ev.Port, false) // it was cleared unseen
	}
	flow := t.sent
	t.sent = 0
	if flow == 0 {
		flow = uint64(ev.Seq)
		track := uint64(trackOutside)
		if ev.VCPU >= 0 {
			track = w.vcpuTrack(ev.VCPU, &w.vcpus[ev.VCPU])
		}
		w.instant(track, nameRaise, ev.Port, flow)
	}
	w.port(ev.Port).flow = flow
	w.setPending(ev.Port, true)
}

func (w *Writer) setPending(p evtchn.Port, on bool) {
	t := w.port(p)
	if t.pending == on {
		return
	}
	t.pending = on
	track := w.portTrack(p, 0)
	if on {
		w.pending++
		from, ev := w.event(typeBegin, track, namePending)
		if t.flow != 0 {
			w.b.fixed64(eventFlows, t.flow)
		}
		w.done(from, ev, namePending)
	} else {
		w.pending--
		w.close(track)
	}
	w.counter(trackPending, w.pending)
}

func (w *Writer) setMasked(p evtchn.Port, on bool) {
	t := w.port(p)
	t.touched = true
	if t.masked == on {
		return
	}
	t.masked = on
	track := w.portTrack(p, 1)
	if on {
		from, ev := w.event(typeBegin, track, nameMasked)
		w.done(from, ev, nameMasked)
	} else {
		w.close(track)
	}
}

func (w *Writer) port(p evtchn.Port) *portTracks {
	if int(p) >= len(w.ports) {
		w.ports = append(w.ports, make([]portTracks, int(p)+1-len(w.ports))...)
	}
	return &w.ports[p]
}

// at converts a time.
func (w *Writer) at(t evtchn.Time) uint64 {
	if t < 0 {
		return 0
	}
	if w.factor == 1 {
		return uint64(t)
	}
	return uint64(math.Round(float64(t) * w.factor))
}

// push begins a slice on a vcpu's track. port is noted with it, and flow ends in it; 0: none.
func (w *Writer) push(id evtchn.VCPU, v *vcpuTrack, kind sliceKind, name uint64, port evtchn.Port, flow uint64) {
	if v.depth == len(v.open) {
		w.pop(id, v)
	}
	v.open[v.depth] = kind
	v.depth++
	from, ev := w.event(typeBegin, w.vcpuTrack(id, v), name)
	w.notePort(port)
	if flow != 0 {
		w.b.fixed64(eventLastFlows, flow)
	}
	w.done(from, ev, name)
}

// pop ends the innermost slice on a vcpu's track.
func (w *Writer) pop(id evtchn.VCPU, v *vcpuTrack) {
	v.depth--
	if v.open[v.depth] == sliceUpcall {
		v.upcall = false
	}
	w.close(w.vcpuTrack(id, v))
}

// close ends the innermost slice of a track.
func (w *Writer) close(track uint64) {
	from, ev := w.event(typeEnd, track, 0)
	w.done(from, ev, 0)
}

// instant writes an event without a duration. A flow leads from it or over it; 0: none.
func (w *Writer) instant(track, name uint64, port evtchn.Port, flow uint64) {
	if track < firstVCPU {
		w.fixedTrack(track)
	}
	from, ev := w.event(typeInstant, track, name)
	w.notePort(port)
	if flow != 0 {
		w.b.fixed64(eventFlows, flow)
	}
	w.done(from, ev, name)
}

func (w *Writer) notePort(p evtchn.Port) {
	if p != evtchn.NoPort {
		a := w.b.begin(eventAnnotations)
		w.b.text(annotationName, "port")
		w.b.uint(annotationUint, uint64(p))
		w.b.end(a)
	}
}

// counter writes a counter's new value.
func (w *Writer) counter(track, value uint64) {
	w.fixedTrack(track)
	from, ev := w.event(typeCounter, track, 0)
	w.b.uint(eventCounter, value)
	w.done(from, ev, 0)
}

// event begins a packet with a track event. name is an iid, 0: none.
func (w *Writer) event(kind, track, name uint64) (packet, event int) {
	packet = w.packet()
	w.b.uint(packetTimestamp, w.now)
	event = w.b.begin(packetEvent)
	w.b.uint(eventType, kind)
	w.b.uint(eventTrack, track)
	if name != 0 {
		w.b.uint(eventNameIID, name)
	}
	return packet, event
}

// done ends it. The name is written with the packet that has it first.
func (w *Writer) done(packet, event int, name uint64) {
	w.b.end(event)
	if name != 0 && (name >= uint64(len(w.named)) || !w.named[name]) {
		w.intern(name)
	}
	w.b.end(packet)
}

func (w *Writer) intern(name uint64) {
	if n := uint64(len(w.named)); name >= n {
		w.named = append(w.named, make([]bool, name+1-n)...)
	}
	w.named[name] = true
	var s string
	switch {
	case name >= firstPortName:
		s = fmt.Sprintf("port %d", name-firstPortName)
	case name >= firstHypercall:
		s = "hypercall " + evtchn.Hypercall(name-firstHypercall).String()
	default:
		s = eventNames[name]
	}
	d := w.b.begin(packetInterned)
	e := w.b.begin(internedNames)
	w.b.uint(nameIID, name)
	w.b.text(nameText, s)
	w.b.end(e)
	w.b.end(d)
}

// packet begins a packet of the sequence of events.
func (w *Writer) packet() int {
	from := w.b.begin(tracePacket)
	w.b.uint(packetSequence, 1)
	flags := uint64(flagNeeds)
	if !w.started {
		w.started = true
		flags |= flagCleared
	}
	w.b.uint(packetFlags, flags)
	return from
}

func (w *Writer) vcpuTrack(id evtchn.VCPU, v *vcpuTrack) uint64 {
	uuid := firstVCPU + uint64(id)
	if !v.known {
		v.known = true
		w.fixedTrack(trackVCPUs)
		w.describe(uuid, trackVCPUs, fmt.Sprintf("vcpu %d", id), false)
	}
	return uuid
}

// portTrack gives one of a port's tracks: 0 pending, 1 masked.
func (w *Writer) portTrack(p evtchn.Port, which int) uint64 {
	uuid := firstPort + 2*uint64(p) + uint64(which)
	if t := w.port(p); !t.known[which] {
		t.known[which] = true
		w.fixedTrack(trackPorts)
		w.describe(uuid, trackPorts, fmt.Sprintf("port %d %s", p, eventNames[namePending+which]), false)
	}
	return uuid
}

func (w *Writer) fixedTrack(uuid uint64) {
	if w.tracks[uuid] {
		return
	}
	w.tracks[uuid] = true
	name := [...]string{trackVCPUs: "vcpus", trackPorts: "ports", trackOutside: "from outside", trackFindings: "findings",
		trackPending: "pending ports", trackSpurious: "spurious upcalls"}[uuid]
	w.describe(uuid, 0, name, uuid == trackPending || uuid == trackSpurious)
}

// describe writes a track's description.
func (w *Writer) describe(uuid, parent uint64, name string, counter bool) {
	from := w.packet()
	d := w.b.begin(packetDescriptor)
	w.b.uint(trackUUID, uuid)
	if parent != 0 {
		w.b.uint(trackParent, parent)
	}
	w.b.text(trackName, name)
	if counter {
		c := w.b.begin(trackCounter)
		w.b.uint(counterUnit, unitCount)
		w.b.end(c)
	}
	w.b.end(d)
	w.b.end(from)
}

// Close writes the findings of a report, nil for none, and what has not been written yet. It does not close the io.Writer.
func (w *Writer) Close(r *analyze.Report) error {
	if r != nil {
		for i := range r.Findings {
			w.finding(&r.Findings[i])
			if len(w.b) >= flushAt {
				w.flush()
			}
		}
	}
	w.flush()
	return w.err
}

// finding writes an instant on the track of findings and one on that of the port. Viewers sort by time, so that it may come at the end.
func (w *Writer) finding(f *analyze.Finding) {
	at := w.now
	for _, t := range []*int64{f.UnnoticedAt, f.ExposedAt, f.NoticedAt} {
		if t != nil {
			at = uint64(max(*t, 0))
			break
		}
	}
	w.fixedTrack(trackFindings)
	for _, track := range []uint64{trackFindings, w.portTrack(f.Port, 0)} {
		from := w.b.begin(tracePacket)
		w.b.uint(packetSequence, trackFinalized)
		w.b.uint(packetTimestamp, at)
		ev := w.b.begin(packetEvent)
		w.b.uint(eventType, typeInstant)
		w.b.uint(eventTrack, track)
		w.b.text(eventName, fmt.Sprintf("%s: port %d", f.Kind, f.Port))
		w.annotate("id", f.ID)
		w.annotate("cause", string(f.Cause))
		w.annotate("why", strings.Join(f.Why, "\n"))
		w.number("owner_vcpu", int64(f.OwnerVCPU))
		w.number("unnoticed_vcpu", int64(f.UnnoticedVCPU))
		w.number("unnoticed_seq", int64(f.UnnoticedSeq))
		if f.Delay != nil {
			w.number("delay", *f.Delay)
		}
		w.b.end(ev)
		w.b.end(from)
	}
}

func (w *Writer) annotate(name, value string) {
	a := w.b.begin(eventAnnotations)
	w.b.text(annotationName, name)
	w.b.text(annotationString, value)
	w.b.end(a)
}

func (w *Writer) number(name string, value int64) {
	a := w.b.begin(eventAnnotations)
	w.b.text(annotationName, name)
	w.b.uint(annotationInt, uint64(value))
	w.b.end(a)
}

func (w *Writer) flush() {
	if w.err == nil && len(w.b) > 0 {
		_, w.err = w.w.Write(w.b)
	}
	w.b = w.b[:0]
}
