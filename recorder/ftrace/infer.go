package ftrace

import (
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// infer turns records into events. It applies each event to a State of its own at once: what it deduces next rests on exactly what
// a reader of the stream will know at that point.
type infer struct {
	im   *Importer
	st   *evtchn.State
	w    *window
	fifo bool

	ports   []portKnow
	cpus    []cpuKnow
	irqs    map[uint32]evtchn.Port
	ioctls  map[int32]ioctl       // bind ioctls under way, by pid
	binding map[int32]evtchn.Port // port between bind_evtchn and its return, by pid
	hints   map[evtchn.Port]portEntry

	deferred []deferredSend
	want     []wanted // what the scan in work delivers

	started   bool
	epoch     uint32 // counts gaps
	unmaskHC  bool   // the unmask hypercall is visible in this capture: a record of it was seen. A list of probes does not prove that
	masks     bool   // a record of a mask was seen
	unknown   []string
	unknownAt []int16 // by name: index into unknown plus 1

	// The record in work.
	now evtchn.Time
	v   evtchn.VCPU
	ctx evtchn.Context

	deduced [probeEnd]uint64 // records that are missing, as others prove
	proof   proof
	counts  struct {
		invisible, handlers, outcome, unpaired, deferred, early, ties uint64
	}
}

// portKnow is what is known of a port beyond evtchn.PortState.
type portKnow struct {
	peer       evtchn.Port // this domain's port at the other end
	shut       bool        // masked, and not unmasked since, as far as the records tell
	masked     int64       // place up to which the last mask of it may not have been made yet
	inflight   int64       // place up to which the last send to it may not have arrived yet
	bound      int64       // place of its last bind_cpu
	ownerEpoch uint32      // epoch in which its owner was seen
	pendEpoch  uint32      // epoch in which its PEND was last set or cleared
	late       bool        // its handler masks it (lateeoi)
	maybe      bool        // a send was under way when its PEND was cleared
	tied       bool        // the last send to it has the time of a clear: it may have come before it
	clearAt    evtchn.Time // of its last clear

	// The last send to it that found it not pending, or not known to be, and whose record was seen.
	sentSeq        evtchn.Seq // 0: there was none
	sentBy         evtchn.VCPU
	sentAt, doneAt evtchn.Time // of its record, and of the record that shows it done
}

// cpuKnow is what is known of a vcpu beyond evtchn.VCPUState.
type cpuKnow struct {
	inUpcall bool
	implied  bool   // the upcall's own records were missed
	scans    int    // of this upcall
	scan     int64  // place of the last one
	sel      uint64 // words for which SEL was known to be set then
	cur      evtchn.Port
	curIRQ   uint32
	open     evtchn.Port // delivered or cleared, and its handler's entry is yet to come
	dirty    evtchn.Port // delivered, and its clear is yet to come
	handled  uint64
}

type ioctl struct{ cmd, a0, a1 uint32 }

// deferredSend is a send whose record stands before, but whose effect came after, the record at a place.
type deferredSend struct {
	at   int64
	v    evtchn.VCPU
	ctx  evtchn.Context
	port evtchn.Port
}

type wanted struct {
	port evtchn.Port
	at   int64
}

// ioctls of /dev/xen/evtchn.
const (
	ioctlBindInterdomain = 0x84501
	ioctlBindUnbound     = 0x44502
)

const (
	domSelf      = 0x7ff0 // DOMID_SELF
	vecSpinlock  = 3      // XEN_SPIN_UNLOCK_VECTOR
	unknownNum   = uint64(evtchn.Unknown)
	maxUnknown   = 1 << 14
	ctxElsewhere = evtchn.CtxForeign
)

func (in *infer) init(im *Importer) {
	in.im, in.st, in.w = im, im.st, &im.w
	in.fifo = im.head.abi == "fifo"
	in.unmaskHC = im.head.unmaskHC
	in.ports = make([]portKnow, in.st.Ports())
	in.cpus = make([]cpuKnow, im.head.cpus)
	in.irqs = make(map[uint32]evtchn.Port)
	in.ioctls = make(map[int32]ioctl)
	in.binding = make(map[int32]evtchn.Port)
	in.hints = make(map[evtchn.Port]portEntry)
}

// --- giving out events ---

func (in *infer) put(kind evtchn.Kind, fl evtchn.Flags, v evtchn.VCPU, ctx evtchn.Context, p evtchn.Port, res, a0, a1, a2 uint64,
) {
	im := in.im
	im.seq++
	if in.now > im.now {
		im.now = in.now
	}
	im.out = append(im.out, evtchn.Event{Seq: im.seq, Time: im.now, Args: [3]uint64{a0, a1, a2}, Res: res, Port: p, VCPU: v, Ctx: ctx,
		Kind: kind, Flags: fl})
	in.st.Apply(&im.out[len(im.out)-1])
}

// seen gives out what the record in work shows.
func (in *infer) seen(kind evtchn.Kind, p evtchn.Port, res uint64, a ...uint64) {
	var x [3]uint64
	copy(x[:], a)
	in.put(kind, 0, in.v, in.ctx, p, res, x[0], x[1], x[2])
}

// infer gives out a step of the record's context that must have been.
func (in *infer) infer(kind evtchn.Kind, p evtchn.Port, res uint64, a ...uint64) {
	var x [3]uint64
	copy(x[:], a)
	in.put(kind, evtchn.FlagInferred, in.v, in.ctx, p, res, x[0], x[1], x[2])
}

// xen gives out a step of the hypervisor on behalf of the record's vcpu.
func (in *infer) xen(kind evtchn.Kind, p evtchn.Port, res uint64, a ...uint64) {
	var x [3]uint64
	copy(x[:], a)
	in.put(kind, evtchn.FlagInferred, in.v, evtchn.CtxXen, p, res, x[0], x[1], x[2])
}

// elsewhere gives out a step of the hypervisor for somebody outside the domain.
func (in *infer) elsewhere(kind evtchn.Kind, p evtchn.Port, res uint64, a0, a1 uint64) {
	in.put(kind, evtchn.FlagInferred, evtchn.NoVCPU, ctxElsewhere, p, res, a0, a1, 0)
}

func vnum(v evtchn.VCPU) uint64 { return uint64(uint16(v)) }

func (in *infer) word(p evtchn.Port) uint64 { return uint64(in.st.Word(p)) }

// port gives a record's port, or NoPort if the ABI has no such port.
func (in *infer) port(n uint32) evtchn.Port {
	if uint64(n) >= uint64(len(in.ports)) {
		return evtchn.NoPort
	}
	return evtchn.Port(n)
}

// notify gives the vcpu that Xen tells of the port, or NoVCPU.
func (in *infer) notify(p evtchn.Port) evtchn.VCPU {
	ps := in.st.PortAt(p)
	v := ps.Notify
	if v < 0 {
		v = ps.Owner
	}
	if int(v) >= len(in.cpus) {
		return evtchn.NoVCPU
	}
	return v
}

// --- records ---

// process takes the record at a place of the window.
func (in *infer) process(pos int64, r *record) {
	in.now = evtchn.Time(r.time)
	if !in.started {
		in.start()
	}
	in.turn(r)
	in.dispatch(pos, r)
	for i := 0; i < len(in.deferred); {
		if d := in.deferred[i]; d.at <= pos {
			in.deferred = append(in.deferred[:i], in.deferred[i+1:]...)
			in.v, in.ctx = d.v, d.ctx
			in.arrive(d.port)
			in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
			continue
		}
		i++
	}
}

// turn makes the record's context that of the events to come.
func (in *infer) turn(r *record) {
	in.v = evtchn.VCPU(r.cpu)
	if r.id == prGap {
		in.ctx = evtchn.CtxNone
	} else if in.cpus[r.cpu].inUpcall {
		in.ctx = evtchn.CtxUpcall
	} else {
		in.ctx = in.im.tasks.ctx(r)
	}
}

func (in *infer) dispatch(pos int64, r *record) {
	if r.id == prGap {
		in.gap(r)
		return
	}
	c := &in.cpus[r.cpu]
	p := evtchn.NoPort
	if r.have&fPort != 0 {
		p = in.port(r.a) // NoPort only for prDevWrite: others have been refused
	}
	switch r.id {
	case prUpcall:
		in.upcall(pos, c)
	case prScan:
		in.scan(pos, c)
	case prDeliver:
		in.deliver(pos, p, c)
	case prClear:
		in.clear(pos, r, p, c)
	case prIRQEntry:
		in.irqEntry(pos, r, c)
	case prIRQExit:
		in.irqExit(pos, r, c)
	case prUpcallRet:
		if c.inUpcall {
			in.leave(c, 0)
		}
	case prMask:
		in.masks = true
		if p == c.cur {
			in.ports[p].late = true
		}
		in.ports[p].shut = true
		in.ports[p].masked = in.after(pos)
		in.seen(evtchn.KindMaskTAS, p, uint64(in.st.Masked(p)))
	case prUnmask:
		if in.wraps(pos, r, p) {
			return
		}
		in.ports[p].shut = false
		in.unmask(pos, r, p)
	case prHCUnmask:
		in.ports[p].shut = false
		in.unmaskCall(p, 0)
	case prHCSend:
		in.send(pos, r, p)
	case prHCIPI:
		in.sendIPI(pos, r, p)
	case prBindCPU:
		in.bindCPU(pos, r, p)
	case prHCBindVCPU:
		in.unseenMask(pos, p)
		in.seen(evtchn.KindHypercall, p, 0, uint64(evtchn.HCBindVCPU), uint64(p), uint64(r.b))
		if int(r.b) < len(in.cpus) {
			in.xen(evtchn.KindPortVCPU, p, 0, uint64(r.b))
		}
		in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
	case prRemove:
		if int(r.b) < len(in.cpus) {
			in.seen(evtchn.KindAcceptClear, p, 0, uint64(r.b))
		}
	case prHCClose:
		in.close(p)
	case prBindEvtchn:
		in.bind(r, p)
	case prBindEvtchnRet:
		if p, ok := in.binding[r.pid]; ok {
			delete(in.binding, r.pid)
			if int32(r.c) > 0 {
				in.learnIRQ(r.c, p)
			}
		}
	case prDevIoctl:
		if r.cmd == ioctlBindInterdomain || r.cmd == ioctlBindUnbound {
			in.ioctls[r.pid] = ioctl{r.cmd, r.c, r.d}
		}
	case prDevIoctlRet:
		if len(in.ioctls) > 0 {
			in.ioctlRet(r)
		}
	case prLateEOI:
		in.proof.eoi++
	case prDevIRQ:
		in.proof.device++
		in.learnIRQ(r.c, p)
		if c.cur != p {
			in.missedHandler(pos, r, p, c)
		}
	case prDevWrite:
		if p != evtchn.NoPort && r.b >= 4 {
			in.put(evtchn.KindOp, evtchn.FlagInput, in.v, in.ctx, p, 0, uint64(evtchn.OpWrite), 0, 0)
		}
	case prUnknown:
		in.unnamed(r)
	}
}

// unnamed gives out a record that has no meaning here.
func (in *infer) unnamed(r *record) {
	for len(in.unknownAt) <= int(r.name) {
		in.unknownAt = append(in.unknownAt, 0)
	}
	if in.unknownAt[r.name] == 0 && len(in.unknown) < maxUnknown {
		in.unknown = append(in.unknown, in.im.names.list[r.name])
		in.unknownAt[r.name] = int16(len(in.unknown))
	}
	in.seen(evtchn.KindUnknownEvt, evtchn.NoPort, 0, uint64(in.unknownAt[r.name]-1))
}

// gap notes that records of the vcpu, or of all, were lost. What was known of owners and pending bits is in doubt from here on.
func (in *infer) gap(r *record) {
	for i := range in.cpus {
		if c := &in.cpus[i]; c.inUpcall && (r.cpu < 0 || i == int(r.cpu)) {
			in.v, in.ctx = evtchn.VCPU(i), evtchn.CtxUpcall
			in.leave(c, evtchn.FlagInferred)
		}
	}
	in.epoch++
	in.im.gaps++
	in.im.lost += uint64(r.a)
	in.v, in.ctx = evtchn.VCPU(r.cpu), evtchn.CtxNone
	in.seen(evtchn.KindGap, evtchn.NoPort, 0, vnum(in.v), uint64(r.a))
}

// finish ends the stream.
func (in *infer) finish() {
	for _, d := range in.deferred {
		in.v, in.ctx = d.v, d.ctx
		in.arrive(d.port)
		in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
	}
	in.deferred = nil
}

func (in *infer) notes() []string {
	var n []string
	c := &in.counts
	tell := func(k uint64, one, many string) {
		if k == 1 {
			n = append(n, "1 "+one)
		} else if k > 1 {
			n = append(n, group(k)+" "+many)
		}
	}
	tell(c.invisible, "delivery without a visible send: another domain, a VIRQ or a PIRQ, or a send that no probe saw",
		"deliveries without a visible send: another domain, a VIRQ or a PIRQ, or a send that no probe saw")
	tell(c.handlers, "handler ran though no probe saw its delivery: that was deduced from irq_handler_entry",
		"handlers ran though no probe saw their delivery: that was deduced from irq_handler_entry")
	tell(c.outcome, "unmask whose port was pending or not by the evidence of what followed",
		"unmasks whose port was pending or not by the evidence of what followed")
	tell(c.deferred, "send was still under way when its port was unmasked, and arrived after it",
		"sends were still under way when their port was unmasked, and arrived after it")
	tell(c.early, "send was taken before records that stand before it: its effect came first",
		"sends were taken before records that stand before them: their effect came first")
	tell(c.ties, "unmask ties with a send, and nothing that followed tells which came first", "unmasks tie with sends, and nothing that followed tells which came first")
	tell(c.unpaired, "send on a port whose other end is not known", "sends on ports whose other end is not known")
	if !in.fifo && !in.unmaskHC {
		n = append(n, "the unmask hypercall was not probed for: an unmask counts as local only where its outcome shows it")
	}
	return n
}

// group writes a number with commas between thousands.
func group(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }
