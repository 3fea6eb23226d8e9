package profile

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// place is a function at a line of the listing.
type place struct {
	name string
	line int64
}

// listing describes a policy step by step, and says where everything stands in it that a stack can name.
type listing struct {
	name  string // of the file
	text  bytes.Buffer
	lines int64
	start map[string]int64 // by function
	procs []procedure
}

type procedure struct {
	role, name string
	steps      map[evtchn.Kind]int64
}

// ListingName is the name of the file that functions of the policy's profile refer to. observed: of a capture.
func ListingName(policy string, observed bool) string {
	if observed {
		return "observed.steps"
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		return "unknown.steps"
	}
	name := p.String()
	return strings.NewReplacer("=", "-", ",", "+", "/", "-").Replace(name) + ".steps"
}

// Listing is the text of that file.
func Listing(policy string, observed bool) []byte { return newListing(policy, observed).text.Bytes() }

func newListing(policy string, observed bool) *listing {
	l := &listing{name: ListingName(policy, observed), start: make(map[string]int64)}
	var procs []evtchn.Procedure
	switch p, err := evtchn.ParsePolicy(policy); {
	case observed:
		l.say("The steps of a real system, as far as they are known: Linux of today, and the unmask of 2005 beside its own.")
		today, _ := evtchn.FindPreset("linux-2021")
		for _, q := range evtchn.Procedures(today.Policy) {
			if q.Role == "unmask" {
				old := evtchn.Procedures(evtchn.Policy{})[0]
				procs = append(procs, old)
				q.Role = "unmask of today"
			}
			procs = append(procs, q)
		}
	case err != nil:
		l.say("The steps of the policy are not known.")
	default:
		l.say("The steps of policy %s, each one indivisible.", p)
		procs = evtchn.Procedures(p)
	}
	l.say("The functions and lines of a profile are those of this file; \"evtrace policies\" explains the policies.")
	for _, q := range procs {
		if len(q.Steps) == 0 {
			continue
		}
		l.say("")
		at := l.say("%s: %s", q.Role, q.Name)
		l.start[q.Name] = at
		e := procedure{role: q.Role, name: q.Name, steps: make(map[evtchn.Kind]int64)}
		for _, s := range q.Steps {
			n := l.say("    %-14s %s", s.Kind, s.Text)
			if _, ok := e.steps[s.Kind]; !ok {
				e.steps[s.Kind] = n
			}
		}
		l.procs = append(l.procs, e)
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
	return l
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
		for i := range l.procs {
			p := &l.procs[i]
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
