package evtchn

// owned says when a step touches nothing that anybody else touches: no shared memory, no run state of a vcpu, nothing but its
// context's own records and what never changes. Such a step gives the same whenever it is taken, and takes nothing from others:
//
//   - whatever others do between now and then, step by step, they can do after it too, and the same comes of it;
//   - nothing of theirs can take it away: an upcall may come in on top of its context and puts it off, and is over before it.
//
// So in every course of events that leads to where nothing is under way, the step can be moved to the front.
type owned uint8

const (
	ownNever        owned = iota
	ownAlways             // ends an operation, tells another domain, or stores UMASK inside Xen, where no callback is taken
	ownFixed              // reads whose a port is, or begins its handler: while no port is moved or closed, that never changes
	ownNoPolls            // sends a physical IPI, whose arrival is another step; it looks whether there are pollers
	ownFixedNoPolls       // both
	ownInUpcall           // enters Xen from an upcall, whose UMASK keeps callbacks away anyhow
)

// Still says what does not change in a system any more.
type Still struct {
	Ports bool // no port is moved, closed or bound to another vcpu, and every port is handled by its own vcpu only
	Polls bool // nobody polls
}

// Own reports whether the next step of a context touches nothing of anybody else's, so that it need not be tried in every order
// with what others do. The context must be one that CanStep.
func (m *Machine) Own(ctx int, still Still) bool {
	c := &m.ctx[ctx]
	f := &c.frames[c.depth-1]
	switch procTable[f.proc].steps[f.pc].own {
	case ownAlways:
		return true
	case ownFixed:
		return still.Ports
	case ownNoPolls:
		return still.Polls || f.count == tellOnly
	case ownFixedNoPolls:
		return still.Ports && still.Polls
	case ownInUpcall:
		return c.inUpcall()
	}
	return false
}
