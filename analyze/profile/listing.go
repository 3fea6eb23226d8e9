package profile

import (
	"bytes"
	"fmt"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// ListingName is the name of the file that the functions of a profile refer to.
const ListingName = "evtrace.steps"

// place is a function at a line of the listing.
type place struct {
	name string
	line int64
}

// listing describes the procedures of all policies step by step, and says where everything stands in it that a stack can name. It
// is the same for all policies, so that profiles of two can be compared line by line; what only a composed policy has comes last.
type listing struct {
	text  bytes.Buffer
	lines int64
	start map[string]int64      // by function
	procs []*procedure          // those of the policy
	known map[string]*procedure // by their steps
}

type procedure struct {
	role, name string
	steps      map[evtchn.Kind]int64
}

// Listing is the text of that file. It has what the policy has; "" is good for all that have a name.
func Listing(policy string) []byte { return newListing(policy, false).text.Bytes() }

func newListing(policy string, observed bool) *listing {
	l := &listing{start: make(map[string]int64), known: make(map[string]*procedure)}
	l.say("The functions and lines of evtrace's profiles. A line of a procedure is one indivisible step; what stands in brackets is")
	l.say("the policy whose steps they are, where others have a procedure of that name, too. \"evtrace policies\" explains the policies.")
	for _, pre := range evtchn.Presets() {
		l.add(pre.Policy, pre.Name)
	}
	for _, section := range sections {
		l.say("")
		l.say("%s:", section.title)
		for _, e := range section.entries {
			l.start[e.name] = l.say("    %-31s %s", e.name, e.text)
		}
	}
	l.say("")
	l.say("hypercalls that no procedure above is about:")
	for h := evtchn.HCBindInterdomain; h < evtchn.HCBlock; h++ {
		name := hypercallName(h)
		if _, ok := l.start[name]; !ok {
			l.start[name] = l.say("    %s", name)
		}
	}
	l.say("")
	l.start[vcpuName(0)] = l.say("vcpus: the one that was told, or looked away, or did it")
	switch p, err := evtchn.ParsePolicy(policy); {
	case observed:
		today, _ := evtchn.FindPreset("linux-2021")
		l.procs = l.add(today.Policy, today.Name)
		l.procs[0].role = roleToday // the first is that of unmasking
		l.procs = append(l.add(evtchn.Policy{}, "")[:1], l.procs...)
	case err == nil:
		l.procs = l.add(p, p.String())
	}
	return l
}

// roleToday is what a capture's unmask is, unless it told the vcpu that it ran on, as that of 2005 does.
const roleToday = "unmask of today"

// add writes the procedures of a policy that are not there yet, and finds all of them.
func (l *listing) add(p evtchn.Policy, policy string) []*procedure {
	var list []*procedure
	for _, q := range evtchn.Procedures(p) {
		if len(q.Steps) == 0 {
			continue
		}
		id := fmt.Sprint(q.Name, q.Steps)
		have := l.known[id]
		if have == nil {
			have = &procedure{name: q.Name, steps: make(map[evtchn.Kind]int64)}
			if l.start[q.Name] != 0 {
				have.name += " [" + policy + "]"
			}
			l.known[id] = have
			l.say("")
			l.start[have.name] = l.say("%s: %s", q.Role, have.name)
			for _, s := range q.Steps {
				n := l.say("    %-14s %s", s.Kind, s.Text)
				if _, ok := have.steps[s.Kind]; !ok {
					have.steps[s.Kind] = n
				}
			}
		}
		list = append(list, &procedure{role: q.Role, name: have.name, steps: have.steps})
	}
	return list
}

func (l *listing) say(format string, args ...any) int64 {
	fmt.Fprintf(&l.text, format, args...)
	l.text.WriteByte('\n')
	l.lines++
	return l.lines
}

// at gives the place of a function that is not a procedure, or of the head of one.
func (l *listing) at(name string) place { return place{name, l.start[name]} }

// vcpu gives the place of a vcpu.
func (l *listing) vcpu(v evtchn.VCPU) place { return place{vcpuName(v), l.start[vcpuName(0)]} }

// step gives the place of a step in the procedure of a role. The first procedure that has one is taken if that one has not.
func (l *listing) step(role string, k evtchn.Kind) (place, bool) {
	for pass := range 2 {
		for _, p := range l.procs {
			if n, ok := p.steps[k]; ok && (p.role == role || pass == 1) {
				return place{p.name, n}, true
			}
		}
	}
	return place{}, false
}

// hypercall gives the place of a hypercall.
func (l *listing) hypercall(h evtchn.Hypercall) place { return l.at(hypercallName(h)) }

func hypercallName(h evtchn.Hypercall) string { return "EVTCHNOP_" + h.String() }

func vcpuName(v evtchn.VCPU) string {
	if v < 0 {
		return "no vcpu"
	}
	return fmt.Sprintf("vcpu %d", v)
}

type entry struct{ name, text string }

// What a port is in use for.
const (
	useDevice  = "port of /dev/xen/evtchn"
	useDriver  = "port of a driver"
	useIPI     = "port of an IPI"
	useVIRQ    = "port of a VIRQ"
	usePIRQ    = "port of a PIRQ"
	useUnbound = "port not yet connected"
	useChannel = "interdomain port"
	useUnknown = "port of unknown use"
	noPort     = "no port"
)

// What the time of an event is spent on that goes well, and what becomes of others.
const (
	waitTell   = "signalling"
	waitUpcall = "until the upcall"
	waitTurn   = "until its turn in the upcall"
	waitEnd    = "not handled by the end"
	notShown   = "not recorded"
	spurious   = "spurious upcall"
	useful     = "upcall with an event"
	underWay   = "upcall under way at the end"
)

var sections = []struct {
	title   string
	entries []entry
}{
	{"what a port is in use for", []entry{
		{useDevice, "an interdomain port that a user program has bound"},
		{useDriver, "its handler is an interrupt of a driver in the kernel"},
		{useIPI, "from one vcpu to another of the same domain"},
		{useVIRQ, "raised by Xen: timer, console and the like"},
		{usePIRQ, "a physical interrupt"},
		{useUnbound, "nobody has bound its other end"},
		{useChannel, "it is connected to another one, and the trace does not tell who handles it"},
		{useUnknown, "the trace does not tell"},
		{noPort, "hypercalls that are about no port, and upcalls"},
	}},
	{"where the time of an event went that nobody missed", []entry{
		{waitTell, "from exposure until the selector of a vcpu was set"},
		{waitUpcall, "until that vcpu took its selector: it was asleep, off its CPU, in Xen, or had upcalls disabled"},
		{waitTurn, "until the upcall came to the port: other ports were handled first"},
		{waitEnd, "pending when the port was closed, or when the trace ends, and not missed"},
		{notShown, "the trace does not show what exposed the port, or how it was handled"},
	}},
	{"why a port went unnoticed, or was handled wrongly", causes},
	{"upcalls", []entry{
		{spurious, "it found nothing to do"},
		{useful, "it handled a port, or more"},
		{underWay, "the trace ends in it"},
	}},
}

// causes are those of package analyze, each with what it means.
var causes = []entry{
	{string(analyze.CauseMaskedElsewhere), "raised while masked; whoever unmasked it told the wrong vcpu: the report of 2005"},
	{string(analyze.CauseWrongVCPU), "SEL was set on a vcpu that does not accept the port"},
	{string(analyze.CauseNonOwner), "SEL was set on the right vcpu, which was not the right one when it looked"},
	{string(analyze.CauseStaleNotify), "the sender had read the notify vcpu before it was changed"},
	{string(analyze.CauseKickMissing), "SEL is set on the right vcpu, and nothing makes it look"},
	{string(analyze.CauseClearedBefore), "PEND or SEL was cleared before anybody looked at what it stood for"},
	{string(analyze.CauseDropped), "the event was picked, and nobody wanted it"},
	{string(analyze.CauseSwallowed), "PEND had been left set by an earlier use of the port: sends stop there"},
	{string(analyze.CauseActiveElsewhere), "the vcpu that picked the port stood back for a handler under way on another"},
	{string(analyze.CauseSlow), "it was noticed all the time, and took longer than the bound"},
	{string(analyze.CauseRepeated), "a vcpu picked a port whose event had been picked"},
	{string(analyze.CauseNotAccepted), "a vcpu picked a port that it does not accept"},
	{string(analyze.CauseUnbound), "the send came before the channel was bound, and the bind raised nothing"},
	{string(analyze.CauseUnseenUnmask), "it was masked and is handled, and no record unmasks it"},
	{string(analyze.CauseUnknown), "not known"},
}
