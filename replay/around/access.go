package around

import "github.com/evtrace/evtrace/evtchn"

// place is a piece of memory, or of state that only one side has, that steps read and write.
type place struct {
	what placeKind
	of   int // vcpu, task, or 0
	port int // port, word, or 0; anyPort of a word: see overlaps
}

type placeKind uint8

const (
	plPend placeKind = iota
	plMask
	plAccept // of a vcpu
	plNotify // notify_vcpu_id
	plStatus // free, unbound, bound
	plOwner  // the guest's record of the port's vcpu
	plActive
	plReason
	plUser
	plSel // of a vcpu, by word
	plUp
	plUmask
	plRun // on a physical CPU, blocked
	plPoll
	plRing // of a task
	plRequest
	plCPU // where a vcpu's code is interrupted
)

// wordwise reports whether steps use the kind port by port as well as word by word.
func (k placeKind) wordwise() bool { return k == plPend || k == plMask || k == plAccept }

// access is one use of a place. A port of -1-w means all ports of word w; an index of -1 of a SEL, all words.
type access struct {
	place
	write bool
}

const allWords = -1

func (a access) conflicts(b access, bits int) bool {
	if !a.write && !b.write || a.what != b.what || a.of != b.of {
		return false
	}
	switch {
	case a.port == b.port:
		return true
	case a.what == plSel:
		return a.port == allWords || b.port == allWords
	case a.what.wordwise() && a.port < 0 && b.port >= 0:
		return b.port/bits == -1-a.port
	case a.what.wordwise() && b.port < 0 && a.port >= 0:
		return a.port/bits == -1-b.port
	}
	return false
}

// accesses appends what a step reads and writes beyond what is its own context's.
func accesses(buf []access, ev *evtchn.Event) []access {
	p, v, t := int(ev.Port), int(ev.VCPU), int(ev.Target())
	add := func(write bool, k placeKind, of, port int) { buf = append(buf, access{place{k, of, port}, write}) }
	switch ev.Kind {
	case evtchn.KindPendTAS, evtchn.KindPendClear:
		add(true, plPend, 0, p)
	case evtchn.KindPendRead:
		add(false, plPend, 0, p)
	case evtchn.KindMaskTAS, evtchn.KindMaskTAC, evtchn.KindMaskClear:
		add(true, plMask, 0, p)
	case evtchn.KindMaskRead:
		add(false, plMask, 0, p)
	case evtchn.KindSelTAS:
		add(true, plSel, t, int(ev.Args[1]))
	case evtchn.KindSelXchg:
		add(true, plSel, v, allWords)
	case evtchn.KindUpTAS, evtchn.KindUpWrite:
		add(true, plUp, t, 0)
	case evtchn.KindUpRead, evtchn.KindReturn, evtchn.KindUpcallExit:
		add(false, plUp, v, 0)
	case evtchn.KindUmaskWrite:
		add(true, plUmask, v, 0)
		add(false, plUp, v, 0)
	case evtchn.KindWordRead, evtchn.KindSweepRead:
		w := -1 - int(ev.Args[0])
		add(false, plPend, 0, w)
		add(false, plMask, 0, w)
		add(false, plAccept, v, w)
	case evtchn.KindNotifyRead, evtchn.KindNotifyCheck:
		add(false, plNotify, 0, p)
		add(false, plStatus, 0, p)
	case evtchn.KindPortVCPU:
		add(true, plNotify, 0, p)
	case evtchn.KindPortBind, evtchn.KindPortUnbind:
		add(true, plNotify, 0, p)
		add(true, plStatus, 0, p)
	case evtchn.KindPortClose:
		add(true, plNotify, 0, p)
		add(true, plStatus, 0, p)
		add(true, plPend, 0, p)
	case evtchn.KindOwnerRead:
		add(false, plOwner, 0, p)
	case evtchn.KindOwnerWrite:
		add(true, plOwner, 0, p)
	case evtchn.KindAcceptSet, evtchn.KindAcceptClear:
		add(true, plAccept, t, p)
	case evtchn.KindActiveXchg, evtchn.KindActiveClear:
		add(true, plActive, 0, p)
	case evtchn.KindReasonSet, evtchn.KindReasonClear:
		add(true, plReason, 0, p)
	case evtchn.KindUserSet:
		add(true, plUser, 0, p)
	case evtchn.KindDeliver, evtchn.KindDrop:
		add(false, plUser, 0, p)
	case evtchn.KindRingPush, evtchn.KindRingPop:
		add(true, plRing, int(ev.Args[0]), 0)
	case evtchn.KindSelect:
		add(true, plRing, int(ev.Args[0]), 0)
	case evtchn.KindRequestPush:
		add(true, plRequest, t, 0)
	case evtchn.KindRequestPop:
		add(true, plRequest, v, 0)
	case evtchn.KindRunRead:
		add(false, plRun, t, 0)
	case evtchn.KindBlockedSet, evtchn.KindBlockedClr, evtchn.KindBlock:
		add(true, plRun, v, 0)
		add(false, plUp, v, 0)
	case evtchn.KindBlockedTAC:
		add(true, plRun, t, 0)
	case evtchn.KindPollSet, evtchn.KindPollClr:
		add(true, plPoll, 0, 0)
	case evtchn.KindPollRead:
		add(false, plPoll, 0, 0)
	case evtchn.KindPollTAC:
		add(true, plPoll, 0, 0)
	case evtchn.KindRun:
		add(true, plRun, t, 0)
		add(false, plUp, t, 0)
	case evtchn.KindKick:
		add(false, plUp, t, 0)
		if ev.Res == 1 {
			add(true, plCPU, t, 0)
		}
	}
	switch ev.Ctx.Class() {
	case evtchn.CtxTask, evtchn.CtxUpcall, evtchn.CtxXen:
		if v >= 0 {
			add(false, plCPU, v, 0)
		}
	}
	return buf
}

// prints tells runs apart by what their steps do to each other: two runs in which every context takes the same steps, and every place
// is written by the same steps in the same order and read between the same writes, have the same.
type prints struct {
	bits int
	at   map[place]*lane
	buf  []access
}

// lane is what is known of a place: a sum over its last reads, which have no order, and a hash of all before.
type lane struct{ done, reads uint64 }

func newPrints(bits int) *prints { return &prints{bits: bits, at: make(map[place]*lane)} }

func (f *prints) add(ev *evtchn.Event) {
	switch ev.Kind {
	case evtchn.KindHold, evtchn.KindRelease, evtchn.KindPreempt, evtchn.KindServe:
		return // decisions about time, not what comes of them
	}
	what := mix(uint64(ev.Kind), uint64(ev.Ctx))
	for _, n := range [...]uint64{uint64(ev.VCPU), uint64(ev.Port), ev.Args[0], ev.Args[1], ev.Args[2], ev.Res} {
		what = mix(what, n)
	}
	who := place{what: 255, of: int(ev.Ctx), port: int(ev.VCPU)}
	if ev.Ctx == evtchn.CtxNone { // no context: what happens to one vcpu, or with one port, has an order
		who.port = int(ev.Target())<<16 | int(ev.Port)
	}
	own := f.lane(who)
	own.done = mix(own.done, what)
	f.buf = accesses(f.buf[:0], ev)
	for _, a := range f.buf {
		if a.what == plCPU {
			continue
		}
		if a.what.wordwise() && a.port >= 0 { // a word's ports together: a step may read the word
			a.port = -1 - a.port/f.bits
		}
		if a.what == plSel {
			a.port = allWords
		}
		l := f.lane(a.place)
		if a.write {
			l.done, l.reads = mix(mix(l.done, l.reads), what), 0
		} else {
			l.reads += mix(1, what)
		}
	}
}

func (f *prints) lane(p place) *lane {
	l := f.at[p]
	if l == nil {
		l = new(lane)
		f.at[p] = l
	}
	return l
}

// sum is the print of all that was added.
func (f *prints) sum() (s uint64) {
	for p, l := range f.at {
		s += mix(mix(mix(uint64(p.what)<<32^uint64(p.of), uint64(p.port)), l.done), l.reads) // a sum has no order
	}
	return s
}

// mix is a step of a hash: the finaliser of SplitMix64 over both.
func mix(a, b uint64) uint64 {
	x := a ^ (b + 0x9e3779b97f4a7c15 + a<<6 + a>>2)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
