package evtchn

import (
	"errors"
	"fmt"
	"strings"
)

// Policy is one choice on each axis on which an event-channel implementation can differ. The zero value is xen-2005: the
// code of the report. A new idea is a new combination, or a new choice on one axis; it is never a fork of a procedure.
type Policy struct {
	Unmask     UnmaskChoice
	SetPending SetPendingChoice
	Bind       BindChoice
	Rebind     RebindChoice
	Upcall     UpcallChoice
	Ack        AckChoice
	Tick       TickChoice
	Send       SendChoice
}

// The choices on each axis. What they mean is said by the table that Axes returns.
type (
	UnmaskChoice     uint8 // how the guest unmasks a port
	SetPendingChoice uint8 // what Xen does for a masked port
	BindChoice       uint8 // what happens around a bind
	RebindChoice     uint8 // how a port moves to another vcpu
	UpcallChoice     uint8 // how the upcall handler scans
	AckChoice        uint8 // what is done before and after a handler
	TickChoice       uint8 // what the timer tick does besides
	SendChoice       uint8 // what a sender does besides
)

// Choices.
const (
	UnmaskLocal UnmaskChoice = iota
	UnmaskHypercall
	UnmaskAlways
	UnmaskRemoteUp
	UnmaskRemoteSel
	UnmaskRequest
)

// Choices.
const (
	SetPendingMaskStops SetPendingChoice = iota
	SetPendingIgnoreMask
)

// Choices.
const (
	BindConservative BindChoice = iota
	BindQuiet
	BindUnmasked
	BindToBinder
)

// Choices.
const (
	Rebind2005 RebindChoice = iota
	Rebind2013
	Rebind2021
	RebindReraise
)

// Choices.
const (
	Upcall2005 UpcallChoice = iota
	UpcallSnapshot
	UpcallAny
	UpcallResend
)

// Choices.
const (
	Ack2005 AckChoice = iota
	Ack2021
)

// Choices.
const (
	TickNone TickChoice = iota
	TickSweep
)

// Choices.
const (
	SendPlain SendChoice = iota
	SendRecheck
)

// Choice is one value on an axis.
type Choice struct {
	Name string
	Doc  string
}

// Axis is one way in which policies differ.
type Axis struct {
	Name    string
	Doc     string
	Choices []Choice // the first is that of xen-2005
}

var axes = []Axis{
	{"unmask", "how the guest unmasks a port", []Choice{
		{"local", "clears MASK; if PEND is set, sets SEL and UP of the vcpu that it runs on"},
		{"hypercall", "on the port's own vcpu as local, elsewhere EVTCHNOP_unmask"},
		{"always", "EVTCHNOP_unmask, wherever it runs"},
		{"remote-up", "elsewhere: clears MASK; if PEND is set, sets SEL and UP of the port's vcpu and sends it an IPI event"},
		{"remote-sel", "the same without the store to UP"},
		{"request", "elsewhere: clears MASK; if PEND is set, asks the port's vcpu by an IPI event to set its own SEL and UP"},
	}},
	{"setpending", "what Xen does for a masked port", []Choice{
		{"mask-stops", "sets PEND only"},
		{"ignore-mask", "sets PEND, SEL and UP, whatever MASK says"},
	}},
	{"bind", "what happens around a bind of an interdomain port", []Choice{
		{"conservative", "Xen sets the new port pending, since sends to its unbound peer were dropped; the guest unmasks it"},
		{"quiet", "Xen does not set the new port pending"},
		{"unmasked", "the guest has the port unmasked before it binds it"},
		{"to-binder", "the guest binds the port to the vcpu that it runs on before it unmasks it"},
	}},
	{"rebind", "how a port moves to another vcpu", []Choice{
		{"2005", "bind_vcpu, then the guest's accept masks, then an empty IPI to all vcpus"},
		{"2013", "mask, bind_vcpu, accept masks, and unmask if it was this that masked it"},
		{"2021", "the same with counted reasons for being masked"},
		{"reraise", "as 2005, and bind_vcpu sets SEL and UP of the new vcpu if the port is pending and unmasked"},
	}},
	{"upcall", "how the upcall handler scans", []Choice{
		{"2005", "takes SEL once; re-reads each word until it is empty; handles ports of its own vcpu"},
		{"snapshot", "reads each word once, resumes after the port handled last, starts over while UP is set"},
		{"any", "as 2005, but handles every pending and unmasked port, whatever vcpu it is bound to"},
		{"resend", "as 2005, and masks and unmasks by hypercall every port of another vcpu that it finds"},
	}},
	{"ack", "what is done before and after a handler", []Choice{
		{"2005", "mask, clear, handle, unmask; a device file's port is unmasked when its user writes it back"},
		{"2021", "is_active keeps a second vcpu out of the handler; only a device file's port is masked, for as long as the reason stands"},
	}},
	{"tick", "what the timer tick does besides", []Choice{
		{"none", "nothing"},
		{"sweep", "looks for pending and unmasked ports of its vcpu in every word, whatever SEL says"},
	}},
	{"send", "what a sender does besides", []Choice{
		{"plain", "nothing"},
		{"recheck", "reads the notify vcpu again at its end, and tells the new one if it has changed"},
	}},
}

// Axes lists the axes with their choices. The result is shared: do not change it.
func Axes() []Axis { return axes }

func (p *Policy) choices() [8]uint8 {
	return [8]uint8{uint8(p.Unmask), uint8(p.SetPending), uint8(p.Bind), uint8(p.Rebind), uint8(p.Upcall), uint8(p.Ack),
		uint8(p.Tick), uint8(p.Send)}
}

func (p *Policy) choose(axis int, c uint8) {
	switch axis {
	case 0:
		p.Unmask = UnmaskChoice(c)
	case 1:
		p.SetPending = SetPendingChoice(c)
	case 2:
		p.Bind = BindChoice(c)
	case 3:
		p.Rebind = RebindChoice(c)
	case 4:
		p.Upcall = UpcallChoice(c)
	case 5:
		p.Ack = AckChoice(c)
	case 6:
		p.Tick = TickChoice(c)
	case 7:
		p.Send = SendChoice(c)
	}
}

// Claim is what is said about a policy: by its authors, by domain knowledge, or by nobody yet.
type Claim uint8

// Claims.
const (
	ClaimOpen   Claim = iota // nobody has decided it
	ClaimSafe                // no event is lost while no port moves to another vcpu
	ClaimUnsafe              // a losing schedule is known
)

var claimNames = [...]string{"open", "safe", "unsafe"}

// String gives the claim's name.
func (c Claim) String() string { return nameOf(claimNames[:], int(c)) }

// Preset is a policy with a name.
type Preset struct {
	Name       string
	Policy     Policy
	Doc        string // one line
	Provenance string // commit, date, project
	Cost       string
	Claim      Claim
	Why        string // reason for the claim
}

const src2005 = "xen-unstable of autumn 2005 (linux-2.6-xen-sparse/arch/xen/kernel/evtchn.c, xen/include/xen/event.h)"

var presets = []Preset{
	{Name: "xen-2005", Doc: "the report's code: an unmask tells the vcpu that it runs on",
		Provenance: src2005, Cost: "no hypercall; a spurious upcall on the wrong vcpu when the port was pending",
		Claim: ClaimUnsafe, Why: "safe only where every unmask runs on the port's own vcpu"},
	{Name: "unmask-hypercall", Policy: Policy{Unmask: UnmaskHypercall}, Doc: "an unmask on another vcpu goes through Xen: the upstream fix",
		Provenance: "xen 3e616152638b, 2005-12-13, Keir Fraser",
		Cost:       "a hypercall per unmask on another vcpu, and an IPI if the port is pending",
		Claim:      ClaimSafe, Why: "as long as the binding does not change meanwhile"},
	{Name: "unmask-hypercall-always", Policy: Policy{Unmask: UnmaskAlways}, Doc: "every unmask goes through Xen",
		Provenance: "FreeBSD sys/dev/xen/xen_intr.c, NetBSD hypervisor_machdep.c",
		Cost:       "a hypercall per unmask", Claim: ClaimSafe, Why: "as long as the binding does not change meanwhile"},
	{Name: "remote-selector-ipi", Policy: Policy{Unmask: UnmaskRemoteUp}, Doc: "the unmasker sets SEL and UP of the port's vcpu, then sends it an IPI event",
		Provenance: "an idea to try; in no tree that we know of", Cost: "a send and an IPI per pending unmask on another vcpu",
		Claim: ClaimUnsafe, Why: "Xen finds UP already set and does not kick: the vcpu sleeps with everything set"},
	{Name: "remote-selector-ipi-noup", Policy: Policy{Unmask: UnmaskRemoteSel}, Doc: "the unmasker sets SEL of the port's vcpu, then sends it an IPI event",
		Provenance: "variant of remote-selector-ipi", Cost: "a send and an IPI per pending unmask on another vcpu", Claim: ClaimUnsafe,
		Why: "where the IPI's own port is in the same word, Xen finds SEL set by the guest, and neither sets UP nor kicks (scenario seed-hot-word)"},
	{Name: "owner-ipi-resend", Policy: Policy{Unmask: UnmaskRequest}, Doc: "the unmasker asks the port's vcpu by an IPI event to look",
		Provenance: "variant of remote-selector-ipi", Cost: "a send, an IPI and a handler per pending unmask on another vcpu", Claim: ClaimOpen,
		Why: "the vcpu sets its own SEL and UP, in its own time: explored, no schedule of write-back or ipi-kick loses an event; those of bind-then-unmask are not exhausted"},
	{Name: "pending-ignores-mask", Policy: Policy{SetPending: SetPendingIgnoreMask}, Doc: "Xen sets SEL and UP even for a masked port",
		Provenance: "an idea to try; in no tree that we know of", Cost: "a useless upcall per event of a masked port",
		Claim: ClaimUnsafe, Why: "the port's vcpu consumes SEL while the port is still masked"},
	{Name: "any-vcpu", Policy: Policy{Upcall: UpcallAny}, Doc: "any vcpu handles any port",
		Provenance: "nanos before PR 2172 (2026-07) did so unawares", Cost: "handlers run twice, at once, and on the wrong vcpu",
		Claim: ClaimUnsafe, Why: "no interdomain event is lost, but events are handled twice and IPIs on the wrong vcpu"},
	{Name: "rebind-to-binder", Policy: Policy{Bind: BindToBinder}, Doc: "a new port is bound to the vcpu that binds it",
		Provenance: "an idea to try; in no tree that we know of", Cost: "a hypercall per bind; no balancing",
		Claim: ClaimUnsafe, Why: "every later unmask from another vcpu is the report's case again"},
	{Name: "resend-from-upcall", Policy: Policy{Upcall: UpcallResend}, Doc: "the upcall handler hands ports of other vcpus on",
		Provenance: "an idea to try; in no tree that we know of", Cost: "two atomic operations and a hypercall per foreign port per upcall",
		Claim: ClaimOpen, Why: "relies on the wrong vcpu's upcall coming after the unmask: explored, no schedule of write-back, ipi-kick or stale-notify loses an event; those of bind-then-unmask are not exhausted"},
	{Name: "tick-sweep", Policy: Policy{Tick: TickSweep}, Doc: "the timer tick looks at every word",
		Provenance: "an idea to try, in the manner of a watchdog; in no tree that we know of", Cost: "words times vcpus loads per tick; up to a tick of delay",
		Claim: ClaimSafe, Why: "bounds the delay by one tick where ticks come; it does not avoid it"},
	{Name: "unmasked-bind", Policy: Policy{Bind: BindUnmasked}, Doc: "a port is unmasked before it is bound",
		Provenance: "an idea to try; in no tree that we know of", Cost: "none", Claim: ClaimUnsafe,
		Why: "the event that Xen raises at the bind comes before its handler is there, and is dropped (scenario seed-port65)"},
	{Name: "quiet-bind", Policy: Policy{Bind: BindQuiet}, Doc: "Xen does not set a newly bound port pending",
		Provenance: "an idea to try; in no tree that we know of", Cost: "none",
		Claim: ClaimUnsafe, Why: "sends before the bind are lost, and an event between acknowledge and write-back still is"},
	{Name: "bind-vcpu-reraise", Policy: Policy{Rebind: RebindReraise}, Doc: "bind_vcpu raises a pending port again on its new vcpu",
		Provenance: "QEMU hw/i386/kvm/xen_evtchn.c", Cost: "a spurious upcall per move of a pending port", Claim: ClaimUnsafe,
		Why: "mends moves; the unmask is that of 2005 (scenario seed-port65)"},
	{Name: "linux-2013", Policy: Policy{Unmask: UnmaskHypercall, Rebind: Rebind2013, Upcall: UpcallSnapshot}, Doc: "Linux with the port masked while it moves",
		Provenance: "Linux 4704fe4f03a5 (2013, hash unchecked), D. Vrabel", Cost: "a hypercall more per move",
		Claim: ClaimSafe, Why: "except where two paths unmask at once, and for a sender that read the old vcpu"},
	{Name: "linux-2021", Policy: Policy{Unmask: UnmaskHypercall, Rebind: Rebind2021, Upcall: UpcallSnapshot, Ack: Ack2021}, Doc: "Linux today",
		Provenance: "Linux 25da4618af24 and b6622798bc50 (2021-03, hashes unchecked), J. Gross", Cost: "a hypercall more per move",
		Claim: ClaimSafe, Why: "except for a sender that read the old vcpu before a whole move"},
	{Name: "sender-recheck", Policy: Policy{Unmask: UnmaskHypercall, Rebind: Rebind2021, Upcall: UpcallSnapshot, Ack: Ack2021, Send: SendRecheck}, Doc: "linux-2021 with a sender that looks again at the vcpu to notify",
		Provenance: "ours", Cost: "a load per send", Claim: ClaimSafe, Why: "explored: closes the window of a sender that read the old vcpu (stale-notify), and loses nothing in bind-then-unmask, write-back and ipi-kick"},
}

// Presets lists the named policies, the default first. The result is shared: do not change it.
func Presets() []Preset { return presets }

// FindPreset looks a preset up by name.
func FindPreset(name string) (*Preset, bool) {
	for i := range presets {
		if presets[i].Name == name {
			return &presets[i], true
		}
	}
	return nil, false
}

// ErrPolicy is the class of errors about a policy's spelling.
var ErrPolicy = errors.New("bad policy")

// ParsePolicy reads a policy: the name of a preset, choices such as "unmask=hypercall,rebind=2021", or a preset followed by
// choices that change it. The empty string is xen-2005. Errors are of class ErrPolicy and name what is allowed; a name that
// is nearly one we know is suggested.
func ParsePolicy(spec string) (Policy, error) {
	var p Policy
	if spec == "" {
		return p, nil
	}
	set := make(map[string]string)
	for i, part := range strings.Split(spec, ",") {
		name, value, isChoice := strings.Cut(strings.TrimSpace(part), "=")
		if !isChoice {
			pre, ok := FindPreset(name)
			switch {
			case !ok && name == "":
				return p, fmt.Errorf("%w %q: an empty part", ErrPolicy, spec)
			case !ok:
				return p, fmt.Errorf("%w: no policy is called %q%s", ErrPolicy, name, Suggest(name, presetNames()))
			case i > 0:
				return p, fmt.Errorf("%w %q: preset %s must come first, and only one preset can be given", ErrPolicy, spec, name)
			}
			p = pre.Policy
			continue
		}
		a := axisIndex(name)
		if a < 0 {
			return p, fmt.Errorf("%w: no axis is called %q%s; axes: %s", ErrPolicy, name, Suggest(name, axisNames()), strings.Join(axisNames(), ", "))
		}
		if old, twice := set[name]; twice {
			return p, fmt.Errorf("%w %q: axis %s is set twice, to %s and to %s", ErrPolicy, spec, name, old, value)
		}
		set[name] = value
		c := choiceIndex(a, value)
		if c < 0 {
			return p, fmt.Errorf("%w: axis %s has no choice %q%s; choices: %s", ErrPolicy, name, value, Suggest(value, choiceNames(a)), strings.Join(choiceNames(a), ", "))
		}
		p.choose(a, uint8(c))
	}
	return p, p.contradiction(spec)
}

// contradiction refuses choices that exclude each other.
func (p *Policy) contradiction(spec string) error {
	switch {
	case p.Upcall == UpcallAny && p.Unmask >= UnmaskRemoteUp:
		return fmt.Errorf("%w %q: upcall=any handles every port on every vcpu, unmask=%s tells one of them: they contradict each other",
			ErrPolicy, spec, axes[0].Choices[p.Unmask].Name)
	case p.Upcall == UpcallAny && p.Ack == Ack2021:
		return fmt.Errorf("%w %q: ack=2021 keeps a port on one vcpu at a time, upcall=any wants it on all: they contradict each other", ErrPolicy, spec)
	case p.Rebind == Rebind2021 && p.Ack == Ack2005:
		return fmt.Errorf("%w %q: rebind=2021 counts the reasons for which a port is masked, ack=2005 masks without one: add ack=2021 or take rebind=2013",
			ErrPolicy, spec)
	}
	return nil
}

// String gives the preset's name if the policy is one, and otherwise the choices that differ from xen-2005. ParsePolicy reads it.
func (p Policy) String() string {
	for i := range presets {
		if presets[i].Policy == p {
			return presets[i].Name
		}
	}
	var parts []string
	for a, c := range p.choices() {
		if c != 0 {
			parts = append(parts, axes[a].Name+"="+axes[a].Choices[c].Name)
		}
	}
	return strings.Join(parts, ",")
}

// Choices gives the policy's choice on each axis, in the order of Axes.
func (p Policy) Choices() []Choice {
	var cs []Choice
	for a, c := range p.choices() {
		cs = append(cs, axes[a].Choices[c])
	}
	return cs
}

func presetNames() []string {
	names := make([]string, len(presets))
	for i := range presets {
		names[i] = presets[i].Name
	}
	return names
}

func axisNames() []string {
	names := make([]string, len(axes))
	for i := range axes {
		names[i] = axes[i].Name
	}
	return names
}

func choiceNames(axis int) []string {
	var names []string
	for _, c := range axes[axis].Choices {
		names = append(names, c.Name)
	}
	return names
}

func axisIndex(name string) int {
	for i := range axes {
		if axes[i].Name == name {
			return i
		}
	}
	return -1
}

func choiceIndex(axis int, name string) int {
	for i, c := range axes[axis].Choices {
		if c.Name == name {
			return i
		}
	}
	return -1
}

// Suggest gives `; did you mean "x"?` for the nearest of the names, or "" if none is near.
func Suggest(name string, names []string) string {
	best, at := 1+len(name)/3, ""
	for _, n := range names {
		d := distance(name, n)
		if strings.HasPrefix(n, name) && len(name) >= 3 {
			d = 0
		}
		if d < best || d == best && at == "" {
			best, at = d, n
		}
	}
	if at == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", at)
}

// distance is the number of single-character edits between two words (Levenshtein 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diag, row[j] = row[j], min(row[j]+1, row[j-1]+1, diag+cost)
		}
	}
	return row[len(b)]
}
