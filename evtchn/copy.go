package evtchn

// CopyFrom makes the machine like another one of the same dimensions, as Clone made it of that one or of a common origin. It
// copies what is in use and, once both have been used, allocates nothing: an exploration tries a choice on a copy of a machine
// many million times.
func (m *Machine) CopyFrom(src *Machine) {
	m.State.copyFrom(&src.State)
	m.policy, m.procs, m.lock = src.policy, src.procs, src.lock
	for len(m.ctx) < len(src.ctx) {
		m.ctx = append(m.ctx, context{id: int32(len(m.ctx)), vcpu: NoVCPU})
	}
	for i := range m.ctx {
		d := &m.ctx[i]
		if i >= len(src.ctx) {
			d.depth = 0 // a foreign path that is over, or never was
			continue
		}
		s := &src.ctx[i]
		d.depth, d.id, d.vcpu, d.errno, d.value = s.depth, s.id, s.vcpu, s.errno, s.value
		copy(d.frames[:s.depth], s.frames[:s.depth])
	}
	for i := range m.guest {
		d, s := &m.guest[i], &src.guest[i]
		requests := d.requests
		*d = *s
		d.requests = append(requests[:0], s.requests...)
	}
	for i := range m.rings {
		m.rings[i] = append(m.rings[i][:0], src.rings[i]...)
	}
	copy(m.taskCPU, src.taskCPU)
	copy(m.ipi, src.ipi)
	m.infos = append(m.infos[:0], src.infos...)
	m.remotes = append(m.remotes[:0], src.remotes...)
}

func (s *State) copyFrom(src *State) {
	words := s.usedWords(max(len(s.P), len(src.P)))
	copy(s.Pend.Val[:words], src.Pend.Val)
	copy(s.Pend.Known[:words], src.Pend.Known)
	copy(s.Mask.Val[:words], src.Mask.Val)
	copy(s.Mask.Known[:words], src.Mask.Known)
	for i := range s.V {
		d := &s.V[i]
		accept, selBy, scanBy := d.Accept, d.SelBy, d.ScanBy
		*d = src.V[i]
		d.Accept, d.SelBy, d.ScanBy = accept, selBy, scanBy
		copy(accept[:words], src.V[i].Accept)
		copy(selBy[:words], src.V[i].SelBy)
		copy(scanBy[:words], src.V[i].ScanBy)
	}
	s.P = append(s.P[:0], src.P...)
	s.Seq, s.Now, s.recheck = src.Seq, src.Now, src.recheck
	s.lanes = append(s.lanes[:0], src.lanes...)
	s.exposed = append(s.exposed[:0], src.exposed...)
	s.changed = s.changed[:0]
}

// usedWords is how many event words the first n ports take: in those beyond, nothing was ever changed.
func (s *State) usedWords(n int) int { return min((n+s.WordBits-1)/s.WordBits, s.Words) }
