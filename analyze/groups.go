package analyze

import (
	"cmp"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Group counts the findings of one kind and cause about one port, those that the report omits included.
type Group struct {
	Kind  Kind        `json:"kind"`
	Cause Cause       `json:"cause"`
	Port  evtchn.Port `json:"port"`
	Count uint64      `json:"count"`
}

type groupKey struct {
	kind  Kind
	cause Cause
	port  evtchn.Port
}

type portKind struct {
	kind Kind
	port evtchn.Port
}

// tally counts the findings and decides which of them the report holds.
type tally struct {
	groups map[groupKey]uint64
	held   map[portKind]bool

	doubtful map[groupKey]uint64 // of the undecided ones, by what they are if others bear them out
	kept     [len(kinds)]int
	extra    [len(kinds)]int // of those, beyond Options.MaxFindings
}

// maxExtra is how many ports, for each kind, can have their first finding in the report although it is full.
const maxExtra = 256

func newTally() tally {
	return tally{groups: make(map[groupKey]uint64), held: make(map[portKind]bool), doubtful: make(map[groupKey]uint64)}
}

// count counts a finding and reports whether the report is to hold it.
func (a *Analyzer) count(kind Kind, cause Cause, port evtchn.Port) bool {
	*a.totals.of(kind)++
	ta, k := &a.tally, kind.rank()
	ta.groups[groupKey{kind, cause, port}]++
	if ta.kept[k] >= a.opt.MaxFindings {
		if ta.held[portKind{kind, port}] || ta.extra[k] >= maxExtra {
			return false
		}
		ta.extra[k]++
	}
	ta.held[portKind{kind, port}] = true
	ta.kept[k]++
	return true
}

// list gives the groups: by kind, the worst first, then by cause, then the most findings first.
func (ta *tally) list() []Group {
	gs := make([]Group, 0, len(ta.groups))
	for k, n := range ta.groups {
		gs = append(gs, Group{k.kind, k.cause, k.port, n})
	}
	slices.SortFunc(gs, func(x, y Group) int {
		return cmp.Or(x.Kind.rank()-y.Kind.rank(), cmp.Compare(x.Cause, y.Cause), cmp.Compare(y.Count, x.Count), cmp.Compare(x.Port, y.Port))
	})
	return gs
}

// distrust makes every finding unknown: the order of the records, on which all of them rest, is not that of time.
func (a *Analyzer) distrust() {
	u := KindUnknown.rank()
	for _, k := range kinds {
		if k != KindUnknown {
			n := a.totals.of(k)
			a.totals.Unknown += *n
			*n = 0
			a.tally.kept[u] += a.tally.kept[k.rank()]
			a.tally.kept[k.rank()] = 0
		}
	}
	groups := make(map[groupKey]uint64)
	for k, n := range a.tally.groups {
		k.kind = KindUnknown
		groups[k] += n
	}
	a.tally.groups = groups
	for i := range a.findings {
		f := &a.findings[i]
		f.Kind = KindUnknown
		f.Why = append(f.Why, "Undecided: the records of this trace do not stand in the order of their times.")
	}
}
