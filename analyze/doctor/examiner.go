package doctor

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// Options change how dumps are judged. The zero value is good.
type Options struct {
	// Apart is how far two dumps must be apart, by their own stamps, to count as two: a vcpu that another one keeps off its CPU stops
	// for some time. 0: 250 ms.
	Apart time.Duration
	// Near is how far keys e and q may be apart to be read together. 0: 1 s.
	Near time.Duration
	_    struct{}
}

const (
	defaultApart = 250 * time.Millisecond
	defaultNear  = time.Second
	maxListed    = 1000 // dumps and moves in a report
	maxHeld      = 4    // dumps without a domain that wait for one that tells
)

// Examiner judges dumps as they come. It keeps the last dump of each domain, and what is suspect.
type Examiner struct {
	opt     Options
	report  Report
	sample  sample
	domains map[int]*history
	tracks  map[key]*track
	ended   []*track // that had stood, and ended
	number  int      // of the dump added last
	held    []numbered
	another bool // a second dump would tell more
	noTime  bool // a dump of key e had no time stamp
	tables  int
	lists   int // dumps that show pending bits
	passed  int
	prints  map[print]bool // stamped dumps that were seen

	file    string       // of the dump added last
	earlier []uint64     // fingerprints of the dumps of the file before
	these   []uint64     // and of this one
	overlap []*dump.Dump // dumps without stamps that are the same as those of the file before
	repeats bool         // all so far were
}

// numbered is a dump with its number in the report.
type numbered struct {
	*dump.Dump
	no int
}

// sample is what was printed together: one press of key e, of all domains, and one of key q, with what guests answered.
type sample struct {
	file   string
	e, q   map[int]numbered
	eAt    int // press
	qAt    int
	guests []numbered
}

// history is what is known of one domain.
type history struct {
	dom     int
	last    numbered // dump of key e
	before  numbered
	count   int
	cleared []Cleared
	size    int // vcpus, as key q lists them; 0: not known
}

// key is a suspicion.
type key struct {
	dom   int
	port  evtchn.Port
	vcpu  evtchn.VCPU // where the port is 0
	class Class
}

// track is a suspicion and how long it has stood.
type track struct {
	key
	mark
	first, last int // numbers of dumps
	firstAt, at dump.Stamp
	run         int // dumps in a row that show it
	ended       int
	file        string
}

// mark is a suspicion that one dump raises.
type mark struct {
	row    dump.Port
	reason string
	weak   bool // too common in good systems to be told from one dump
	need   int  // how many dumps in a row it takes, if weak
	vcpu   evtchn.VCPU
	event  bool // an event of the port is pending and unmasked: if it stands, it is lost
	fresh  bool // it cannot be the event that the dump before shows
}

// print identifies a stamped dump.
type print struct {
	src  dump.Source
	dom  int
	rows uint64
	at   dump.Stamp
}

// New gives an examiner.
func New(opt Options) *Examiner {
	opt.Apart = cmp.Or(opt.Apart, defaultApart)
	opt.Near = cmp.Or(opt.Near, defaultNear)
	return &Examiner{opt: opt, report: Report{Dumps: []DumpInfo{}, Suspects: []Suspect{}, Cleared: []Cleared{}, Moved: []Interval{}, Notes: []string{}, Next: []string{}},
		domains: map[int]*history{}, tracks: map[key]*track{}, prints: map[print]bool{}}
}

// Add takes the next dump. The examiner keeps it: do not change it.
func (e *Examiner) Add(d *dump.Dump) {
	if d.Name != e.file {
		e.again(false)
		e.file, e.earlier, e.these = d.Name, e.these, nil
		e.repeats = len(e.earlier) > 0
	}
	if d.Time.Known() {
		e.repeats = false
	}
	h := fingerprint(d)
	if len(e.these) < maxListed {
		e.these = append(e.these, h)
	}
	if e.repeats {
		n := len(e.overlap)
		if n < len(e.earlier) && e.earlier[n] == h {
			e.overlap = append(e.overlap, d)
			return
		}
		e.again(n == len(e.earlier))
		e.repeats = false
	}
	e.take(d, d.Time.Known() && e.seen(d))
}

// again settles what is to be thought of dumps without time stamps that are the same as those of the file before. If further dumps
// follow them, they are the beginning of a log that has grown, and not new.
func (e *Examiner) again(old bool) {
	held := e.overlap
	e.overlap = nil
	for _, d := range held {
		e.take(d, old)
	}
}

// take numbers a dump and puts it into its sample.
func (e *Examiner) take(d *dump.Dump, again bool) {
	e.number++
	n := numbered{d, e.number}
	info := describe(d, e.number)
	info.Again = again
	e.list(info)
	if again {
		return
	}
	s := &e.sample
	switch {
	case d.Source == dump.Lsevtchn:
		e.tables++
		return
	case d.Source == dump.Guest:
		e.lists++
		s.guests = append(s.guests, n)
		if len(s.guests) > 4*evtchn.MaxVCPUs {
			s.guests = s.guests[1:]
		}
		return
	case d.Source == dump.KeyE && (len(s.e) > 0 && (d.Press != s.eAt || d.Name != s.file) || s.e[d.Domain].Dump != nil):
		e.flush()
	case d.Source == dump.KeyQ && (len(s.q) > 0 && (d.Press != s.qAt || d.Name != s.file) || s.q[d.Domain].Dump != nil):
		e.flush()
	}
	s.file = d.Name
	if d.Source == dump.KeyQ {
		if s.q == nil {
			s.q = map[int]numbered{}
		}
		s.q[d.Domain], s.qAt = n, d.Press
		return
	}
	e.lists++
	e.noTime = e.noTime || !d.Time.Known()
	if s.e == nil {
		s.e = map[int]numbered{}
	}
	s.e[d.Domain], s.eAt = n, d.Press
}

// list puts a dump into the report.
func (e *Examiner) list(info DumpInfo) {
	if len(e.report.Dumps) < maxListed {
		e.report.Dumps = append(e.report.Dumps, info)
	} else {
		e.report.Omitted++
	}
}

// seen reports whether a dump is the same as an earlier one: by its time stamps, as two copies of a growing log hold it twice.
func (e *Examiner) seen(d *dump.Dump) bool {
	p := print{src: d.Source, dom: d.Domain, rows: fingerprint(d), at: d.Time}
	if e.prints[p] {
		return true
	}
	if len(e.prints) < 1<<16 {
		e.prints[p] = true
	}
	return false
}

// fingerprint is equal for dumps that say the same.
func fingerprint(d *dump.Dump) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, d.Source, d.Domain, len(d.Ports), len(d.VCPUs))
	for i := range d.Ports {
		p := d.Ports[i]
		p.Line = 0
		fmt.Fprint(h, p)
	}
	for i := range d.VCPUs {
		v := d.VCPUs[i]
		v.Line = 0
		fmt.Fprint(h, v)
	}
	return h.Sum64()
}

// flush judges the sample.
func (e *Examiner) flush() {
	s := e.sample
	e.sample = sample{}
	if h, ok := s.e[dump.NoDomain]; ok { // its header was cut off
		delete(s.e, dump.NoDomain)
		if dom, ok := e.identify(h, s.e); ok {
			s.e[dom] = h
		} else if len(e.held) < maxHeld {
			e.held = append(e.held, h)
		}
	}
	for _, dom := range sortedKeys(s.e) {
		e.release(dom, s.e[dom])
	}
	for _, dom := range sortedKeys(s.q) {
		if q := s.q[dom]; q.Whole {
			h := e.domain(dom)
			h.size = 0
			for i, v := range q.VCPUs {
				if int(v.ID) != i {
					h.size = 0
					break
				}
				h.size = i + 1
			}
		}
	}
	for _, dom := range sortedKeys(s.e) {
		e.judge(dom, s.e[dom], &s)
	}
	if len(s.e) == 0 {
		for _, dom := range sortedKeys(s.q) {
			e.judgeVCPUs(dom, s.q[dom])
		}
	}
	e.judgeGuests(&s)
}

// release judges dumps that had waited for one to tell their domain.
func (e *Examiner) release(dom int, like numbered) {
	for i := 0; i < len(e.held); i++ {
		if h := e.held[i]; alike(h.Dump, like.Dump) {
			e.held = slices.Delete(e.held, i, i+1)
			i--
			e.judge(dom, h, &sample{})
		}
	}
}

// identify finds the domain of a dump without its header among those of which a dump was seen.
func (e *Examiner) identify(h numbered, others map[int]numbered) (int, bool) {
	found, n := 0, 0
	for _, dom := range sortedKeys(e.domains) {
		if last := e.domains[dom].last; last.Dump != nil && alike(h.Dump, last.Dump) {
			if _, taken := others[dom]; !taken {
				found, n = dom, n+1
			}
		}
	}
	return found, n == 1
}

// alike reports whether two dumps are of the same domain: of the ports that both have, nearly all are bound alike.
func alike(a, b *dump.Dump) bool {
	same, both := 0, 0
	for i := range a.Ports {
		if q := b.Port(a.Ports[i].Port); q != nil {
			both++
			if a.Ports[i].SameBinding(q) && a.Ports[i].Notify == q.Notify {
				same++
			}
		}
	}
	return both >= 5 && same*10 >= both*9 && both*2 >= len(a.Ports)
}

func (e *Examiner) domain(dom int) *history {
	if e.domains[dom] == nil {
		e.domains[dom] = &history{dom: dom}
	}
	return e.domains[dom]
}

// judge judges a dump of key e with what was printed beside it.
func (e *Examiner) judge(dom int, d numbered, s *sample) {
	h := e.domain(dom)
	j := &judgement{e: e, h: h, dom: dom, d: d, s: s, marks: map[key]mark{}}
	if q, ok := s.q[dom]; ok {
		j.q = q.Dump
		j.near, j.timed = e.close(d.Time, q.Time)
	}
	j.rows()
	e.settle(h, d, j.marks)
	h.cleared = j.cleared
	h.before, h.last = h.last, d
	h.count++
}

// close reports whether two stamps are near each other, or cannot be compared, and whether they can.
func (e *Examiner) close(a, b dump.Stamp) (near, known bool) {
	d, known := a.Since(b)
	return !known || d.Abs() <= e.opt.Near, known
}

// settle brings what is suspect of a domain up to date with the marks of its next dump.
func (e *Examiner) settle(h *history, d numbered, marks map[key]mark) {
	for k, t := range e.tracks {
		if k.dom != h.dom {
			continue
		}
		m, again := marks[k]
		if again && (m.fresh || k.port != evtchn.NoPort && !t.row.SameBinding(&m.row)) {
			again = false
		}
		if again {
			t.mark = m
			t.last, t.at, t.file = d.no, d.Time, d.Name
			t.run++
			delete(marks, k)
			continue
		}
		if d.Source == dump.KeyE && !d.Whole && k.port != evtchn.NoPort && d.Port(k.port) == nil {
			continue // the row may be among those that are missing
		}
		if e.stood(t) == nil || !*e.stood(t) {
			if !t.weak {
				e.passed++
			}
			delete(e.tracks, k)
			continue
		}
		t.ended = d.no
		delete(e.tracks, k)
		if len(e.ended) < maxListed {
			e.ended = append(e.ended, t)
		}
	}
	for k, m := range marks {
		e.tracks[k] = &track{key: k, mark: m, first: d.no, last: d.no, firstAt: d.Time, at: d.Time, run: 1, file: d.Name}
	}
}

// stood says whether a suspicion has stood over two dumps; nil if that cannot be said.
func (e *Examiner) stood(t *track) *bool {
	yes, no := true, false
	if t.run < 2 {
		if t.run == 1 && t.ended != 0 {
			return &no
		}
		return nil
	}
	if span, ok := t.at.Since(t.firstAt); ok && span < e.opt.Apart {
		return nil
	}
	return &yes
}

// Finish judges what is left and gives the report. The examiner is of no use afterwards.
func (e *Examiner) Finish() *Report {
	e.again(false)
	e.flush()
	for _, h := range e.held {
		e.judge(dump.NoDomain, h, &sample{})
	}
	r := &e.report
	for _, t := range slices.Concat(e.ended, slices.Collect(maps.Values(e.tracks))) {
		if s, ok := e.suspect(t); ok {
			r.Suspects = append(r.Suspects, s)
		}
	}
	slices.SortFunc(r.Suspects, func(a, b Suspect) int {
		return cmp.Or(standing(b)-standing(a), a.Class.rank()-b.Class.rank(), number(a.Domain)-number(b.Domain),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.VCPU, b.VCPU), cmp.Compare(a.Dumps[0], b.Dumps[0]))
	})
	for _, dom := range sortedKeys(e.domains) {
		h := e.domains[dom]
		r.Cleared = append(r.Cleared, h.cleared...)
		if h.before.Dump != nil {
			r.Moved = append(r.Moved, e.interval(h))
		}
	}
	r.Cleared = slices.DeleteFunc(r.Cleared, func(c Cleared) bool {
		return slices.ContainsFunc(r.Suspects, func(s Suspect) bool {
			return s.Ended == 0 && s.Port == c.Port && number(s.Domain) == number(c.Domain) && s.event
		})
	})
	r.Passed = e.passed
	r.Verdict = VerdictNothing
	for i := range r.Suspects {
		s := &r.Suspects[i]
		if r.Verdict == VerdictNothing {
			r.Verdict = VerdictUndecided
		}
		if standing(*s) > 0 && (s.Class == ClassLost || s.Class == ClassOffline && s.event) {
			r.Verdict = VerdictLost
		}
	}
	if e.lists == 0 && r.Verdict == VerdictNothing {
		r.Verdict = VerdictUndecided
	}
	e.notes()
	e.next()
	return r
}

// standing ranks a suspect by what is known of its standing.
func standing(s Suspect) int {
	if s.Persisted == nil || !*s.Persisted {
		return 0
	}
	return 1
}

func number(dom *int) int {
	if dom == nil {
		return dump.NoDomain
	}
	return *dom
}

// suspect writes a track for the report, if it is strong enough.
func (e *Examiner) suspect(t *track) (Suspect, bool) {
	stood := e.stood(t)
	if t.weak && (stood == nil || !*stood || t.run < max(t.need, 2)) {
		return Suspect{}, false
	}
	s := Suspect{Domain: domainOf(t.dom), Port: t.port, Class: t.class, Reason: t.reason, Persisted: stood, VCPU: t.mark.vcpu, Dumps: []int{t.first},
		Count: t.run, Ended: t.ended, File: t.file, Line: t.row.Line, event: t.event}
	if t.port != evtchn.NoPort {
		s.Kind, s.Row = kindOf(&t.row), rowOf(&t.row)
	}
	if t.last != t.first {
		s.Dumps = append(s.Dumps, t.last)
		if span, ok := t.at.Since(t.firstAt); ok {
			s.Span = spanText(span)
		}
	}
	return s, true
}

// interval says what moved between the last two dumps of a domain.
func (e *Examiner) interval(h *history) Interval {
	a, b := h.before, h.last
	iv := Interval{Domain: domainOf(h.dom), From: a.no, To: b.no, Stood: []Move{}, Moves: []Move{}}
	if span, ok := b.Time.Since(a.Time); ok {
		iv.Span = spanText(span)
	}
	add := func(p evtchn.Port, from, to string) {
		if iv.Moved++; len(iv.Moves) < maxListed {
			iv.Moves = append(iv.Moves, Move{iv.Domain, p, from, to})
		}
	}
	for i, j := 0, 0; i < len(a.Ports) || j < len(b.Ports); {
		switch {
		case j == len(b.Ports) || i < len(a.Ports) && a.Ports[i].Port < b.Ports[j].Port:
			if b.Whole {
				iv.Ports++
				add(a.Ports[i].Port, rowOf(&a.Ports[i]), "free")
			}
			i++
		case i == len(a.Ports) || b.Ports[j].Port < a.Ports[i].Port:
			if a.Whole {
				iv.Ports++
				add(b.Ports[j].Port, "free", rowOf(&b.Ports[j]))
			}
			j++
		default:
			p, q := &a.Ports[i], &b.Ports[j]
			iv.Ports++
			if p.Pending == evtchn.Zero && q.Pending == evtchn.Zero { // a selector bit is of the whole word
				p, q = quiet(p), quiet(q)
			}
			if from, to := rowOf(p), rowOf(q); from != to {
				add(p.Port, from, to)
			} else if p.Pending == evtchn.One && len(iv.Stood) < maxListed {
				iv.Stood = append(iv.Stood, Move{iv.Domain, p.Port, from, to})
			}
			i, j = i+1, j+1
		}
	}
	return iv
}

// quiet is a row without what other ports change in it.
func quiet(p *dump.Port) *dump.Port {
	q := *p
	q.Sel = evtchn.Unknown
	return &q
}

func sortedKeys[V any](m map[int]V) []int {
	ks := make([]int, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// describe writes a dump for the report.
func describe(d *dump.Dump, no int) DumpInfo {
	info := DumpInfo{Domain: domainOf(d.Domain), Ports: len(d.Ports), Format: d.Format.String(), Number: no, Source: d.Source.String(), File: d.Name,
		Line: d.Line, Time: d.Time.String(), VCPUs: len(d.VCPUs), Whole: d.Whole}
	switch d.Source {
	case dump.KeyQ:
		info.Format = "q"
	case dump.Guest:
		info.Format = "guest"
	}
	for i := range d.Ports {
		if p := &d.Ports[i]; p.Pending == evtchn.One {
			info.Pending++
			if p.Masked == evtchn.One {
				info.Masked++
			}
		}
	}
	return info
}

// spanText writes a time for people.
func spanText(d time.Duration) string {
	switch {
	case d.Abs() < time.Millisecond:
		return d.String()
	case d.Abs() < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d.Abs() < 100*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
