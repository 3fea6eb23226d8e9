package filter

import "github.com/evtrace/evtrace/evtchn"

// array is something that the state has for every port, or for every vcpu.
type array uint8

const (
	arrayPend array = iota
	arrayMask
	arrayExposed
	arrayUnnoticed
	arrayUp
	arrayUmask
	arraySel // from here on, numbers
	arrayOwner
	arrayNotify
	arrayRun // text

	arrays
)

var arrayNames = [arrays]string{"PEND", "MASK", "EXPOSED", "UNNOTICED", "UP", "UMASK", "SEL", "OWNER", "NOTIFY", "RUN"}

func arrayByName(name string) (array, bool) {
	for a, n := range arrayNames {
		if n == name {
			return array(a), true
		}
	}
	return 0, false
}

func (a array) isBit() bool { return a < arraySel }

func (a array) byVCPU() bool {
	return a == arrayUp || a == arrayUmask || a == arraySel || a == arrayRun
}

// runNames are the run states that can be asked for, by number; unknown is not among them, since nothing is it.
func runNames() []string {
	var names []string
	for r := evtchn.RunUnknown + 1; r <= evtchn.Offline; r++ {
		names = append(names, r.String())
	}
	return names
}

// bitAt is a bit of the state.
type bitAt struct {
	a  array
	at operand
}

func (n *bitAt) eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit {
	return stateBit(st, n.a, n.at.value(ev, in))
}

// stateBit reads a bit of the state. What the state does not have is unknown.
func stateBit(st *evtchn.State, a array, i int64) evtchn.Bit {
	if st == nil || i < 0 {
		return evtchn.Unknown
	}
	if a.byVCPU() {
		if i >= int64(len(st.V)) {
			return evtchn.Unknown
		}
		if a == arrayUp {
			return st.V[i].Up
		}
		return st.V[i].Umask
	}
	if i == int64(evtchn.NoPort) || i >= int64(st.Ports()) {
		return evtchn.Unknown
	}
	p := evtchn.Port(i)
	switch a {
	case arrayPend:
		return st.Pending(p)
	case arrayMask:
		return st.Masked(p)
	}
	pend, mask := st.Pending(p), st.Masked(p)
	switch {
	case pend == evtchn.Zero || mask == evtchn.One:
		return evtchn.Zero
	case pend == evtchn.Unknown || mask == evtchn.Unknown:
		return evtchn.Unknown
	case a == arrayUnnoticed:
		return bitOf(st.Unnoticed(p))
	}
	return evtchn.One
}

// compareAt compares a number of the state with one.
type compareAt struct {
	a  array
	at operand
	op comparison
	to operand
}

func (n *compareAt) eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit {
	v, known := stateNumber(st, n.a, n.at.value(ev, in))
	to := n.to.value(ev, in)
	if known == ^uint64(0) {
		return bitOf(n.op.holds(v, to))
	}
	// Some bits are enough to tell that two numbers differ.
	if (uint64(v)^uint64(to))&known != 0 {
		switch n.op {
		case equal:
			return evtchn.Zero
		case unequal:
			return evtchn.One
		}
	}
	return evtchn.Unknown
}

// stateNumber reads a number of the state, and says which of its bits are known.
func stateNumber(st *evtchn.State, a array, i int64) (v int64, known uint64) {
	if st == nil || i < 0 {
		return 0, 0
	}
	if a == arraySel {
		if i >= int64(len(st.V)) {
			return 0, 0
		}
		vc := &st.V[i]
		known = vc.SelKnown
		if st.Words < 64 {
			known |= ^uint64(0) << st.Words // there are no such words
		}
		return int64(vc.Sel & vc.SelKnown), known
	}
	if i == int64(evtchn.NoPort) || i >= int64(st.Ports()) {
		return 0, 0
	}
	var vcpu evtchn.VCPU
	switch {
	case i >= int64(len(st.P)): // as State.PortAt would have it
		if st.Observed {
			vcpu = evtchn.NoVCPU
		}
	case a == arrayOwner:
		vcpu = st.P[i].Owner
	default:
		vcpu = st.P[i].Notify
	}
	if vcpu == evtchn.NoVCPU {
		return 0, 0
	}
	return int64(vcpu), ^uint64(0)
}

// runIs compares the run state of a vcpu with a set, a bit for each.
type runIs struct {
	at  operand
	set uint8
}

func (n *runIs) eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit {
	r := stateRun(st, n.at.value(ev, in))
	if r == evtchn.RunUnknown {
		return evtchn.Unknown
	}
	return bitOf(n.set>>r&1 != 0)
}

func stateRun(st *evtchn.State, v int64) evtchn.RunState {
	if st == nil || v < 0 || v >= int64(len(st.V)) {
		return evtchn.RunUnknown
	}
	return st.V[v].Run
}
