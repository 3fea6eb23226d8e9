package store

import "github.com/evtrace/evtrace/evtchn"

// A chunk is coded against a model that guesses every field of the next event from those before it in the chunk. Encoder
// and decoder run the same model, so a right guess costs one clear bit in the event's header byte, and only what is
// surprising is written. The model starts empty in every chunk: any chunk decodes alone.
//
// Everything in this file is part of the format (codecVersion): a change of a hash, a table size or the list of aiming kinds
// makes old chunks unreadable, and needs a new version beside the old one.

// Header bits: a field that the model guessed wrong follows in its column.
const (
	missVCPU  = 1 << iota // the vcpu is not the previous event's
	missShape             // kind, context, flags or domain
	missPort
	missArgs
	missRes
	missTime
	missCause
	missUnused
)

// How a port is guessed.
const (
	portNone   uint8 = iota // no port
	portLast                // the last one of this vcpu
	portAimed               // the last one that somebody aimed at this vcpu
	portByPrev              // what followed the vcpu's last port the last time
)

// How a cause is guessed.
const (
	causeNone uint8 = iota
	causeAimed
)

const (
	transBits = 11
	valsBits  = 12
	succBits  = 10
)

// slot is what the model remembers of one vcpu.
type slot struct {
	hist     uint32 // the last three kinds with the lowest bit of their results, nine bits each
	port     uint32
	aimed    uint32 // port of the last event that acted on this vcpu
	lastTime int64
	aimSeq   uint64     // that event
	ctx      [16]uint16 // the last context of each class
}

// trans is what followed a history the last time. The shape is packed in one word, because writing and reading it by pieces costs
// more than all the rest of the model: kind, flags, class of the context, how the port was to be guessed, how the cause, and the domain.
type trans struct {
	dt    int64 // since the vcpu's event before
	shape uint64
}

const (
	shapeFlags = 8
	shapeClass = 16
	shapePort  = 24
	shapeCause = 32
	shapeDom   = 40

	// shapeGuess are the bits that say how to guess, rather than what the event was.
	shapeGuess = 0xff<<shapePort | 0xff<<shapeCause
)

func shapeOf(ev *evtchn.Event) uint64 {
	return uint64(ev.Kind) | uint64(ev.Flags)<<shapeFlags | uint64(ev.Ctx>>12)<<shapeClass | uint64(ev.Dom)<<shapeDom
}

// vals is what an event of that kind carried the last time.
type vals struct {
	args [3]uint64
	res  uint64
}

type model struct {
	slots    [256]slot
	trans    [1 << transBits]trans
	vals     [1 << valsBits]vals
	succ     [1 << succBits]uint32
	prevTime int64
	prevVCPU int16
}

// reset empties the model for a chunk whose first event has the time t.
func (m *model) reset(t int64) {
	*m = model{prevTime: t, prevVCPU: -1}
	for i := range m.slots {
		m.slots[i].lastTime = t
	}
}

// aiming tells the kinds whose first argument is a vcpu that the event acts upon. It is a copy of what evtchn says today:
// a kind that evtchn adds later is merely guessed less well.
var aiming = func() (a [256]bool) {
	for _, k := range []evtchn.Kind{evtchn.KindVIRQ, evtchn.KindSelTAS, evtchn.KindUpTAS, evtchn.KindIPI,
		evtchn.KindBlockedTAC, evtchn.KindRunRead, evtchn.KindPollTAC, evtchn.KindUpWrite, evtchn.KindWake} {
		a[k] = true
	}
	return a
}()

func (m *model) slot(v evtchn.VCPU) *slot { return &m.slots[uint8(v+1)] }

func (s *slot) trans(m *model) *trans {
	return &m.trans[s.hist*0x9e3779b1>>(32-transBits)]
}

// vals finds the memory for an event's arguments and result: by kind and port, and where there is no port by kind, history and the
// port that was aimed at the vcpu, which is usually the one that it is busy with.
func (m *model) valsOf(s *slot, kind, class uint8, port uint32) *vals {
	h := uint32(kind)<<4 | uint32(class)
	if port != 0 {
		h = h*0x9e3779b1 ^ port*0x85ebca6b
	} else {
		h = h*0x9e3779b1 ^ s.aimed*0x85ebca6b ^ s.hist*0xc2b2ae35 ^ 0x5bd1e995
	}
	h ^= h >> 15
	return &m.vals[h*0x2c1b3c6d>>(32-valsBits)]
}

func (m *model) succOf(port uint32) *uint32 { return &m.succ[port*0x9e3779b1>>(32-succBits)] }

func (m *model) guessPort(s *slot, shape uint64) uint32 {
	switch uint8(shape >> shapePort) {
	case portLast:
		return s.port
	case portAimed:
		return s.aimed
	case portByPrev:
		return *m.succOf(s.port)
	}
	return 0
}

func guessCause(s *slot, shape uint64) uint64 {
	if uint8(shape>>shapeCause) == causeAimed {
		return s.aimSeq
	}
	return 0
}

// learn takes in the event that was just coded. hit: its port had been guessed.
func (m *model) learn(s *slot, tr *trans, ev *evtchn.Event, hit bool) {
	class := uint8(ev.Ctx >> 12)
	port := uint32(ev.Port)
	shape := shapeOf(ev)
	switch {
	case hit:
		shape |= tr.shape & (0xff << shapePort)
	case port == 0:
		// portNone
	case port == s.port:
		shape |= uint64(portLast) << shapePort
	case port == s.aimed:
		shape |= uint64(portAimed) << shapePort
	default:
		shape |= uint64(portByPrev) << shapePort
	}
	if ev.Cause != 0 {
		shape |= uint64(causeAimed) << shapeCause
	}
	tr.shape = shape
	tr.dt = int64(ev.Time) - s.lastTime
	s.hist = (s.hist<<9 | uint32(ev.Kind)<<1 | uint32(ev.Res&1)) & (1<<27 - 1)
	s.lastTime = int64(ev.Time)
	s.ctx[class] = uint16(ev.Ctx)
	if port != 0 && port != s.port {
		*m.succOf(s.port) = port
		s.port = port
	}
	if aiming[ev.Kind] {
		t := m.slot(evtchn.VCPU(int16(ev.Args[0])))
		t.aimSeq = uint64(ev.Seq)
		if port != 0 {
			t.aimed = port
		}
	}
	m.prevTime = int64(ev.Time)
	m.prevVCPU = int16(ev.VCPU)
}
