package analyze

import "github.com/evtrace/evtrace/evtchn"

// Kind is what a finding says of an episode.
type Kind string

// The kinds of finding. The package documentation says what each means.
const (
	KindLost       Kind = "lost"
	KindLate       Kind = "late"
	KindDuplicate  Kind = "duplicate"
	KindWrongVCPU  Kind = "wrong-vcpu"
	KindConcurrent Kind = "concurrent"
	KindUnknown    Kind = "unknown"
)

// kinds is every kind of finding, in the order of reports: the worst first.
var kinds = [...]Kind{KindLost, KindDuplicate, KindConcurrent, KindWrongVCPU, KindLate, KindUnknown}

func (k Kind) rank() int {
	for i, q := range kinds {
		if q == k {
			return i
		}
	}
	return len(kinds)
}

// Cause is why a port went unnoticed.
type Cause string

// The causes.
const (
	CauseMaskedElsewhere Cause = "masked-then-unmasked-elsewhere" // raised while masked; whoever unmasked it told the wrong vcpu: the report of 2005
	CauseWrongVCPU       Cause = "selector-on-wrong-vcpu"         // SEL was set on a vcpu that does not accept the port
	CauseNonOwner        Cause = "selector-consumed-by-non-owner" // SEL was set on the right vcpu, which was not the right one when it looked
	CauseStaleNotify     Cause = "stale-notify"                   // the sender had read the notify vcpu before it was changed
	CauseKickMissing     Cause = "kick-missing"                   // SEL is set on the right vcpu, and nothing makes it look
	CauseClearedBefore   Cause = "cleared-before-look"            // PEND or SEL was cleared before anybody looked at what it stood for
	CauseDropped         Cause = "dropped-no-handler"             // the event was picked, and nobody wanted it
	CauseSwallowed       Cause = "pending-swallowed"              // PEND had been left set by an earlier use of the port: sends stop there
	CauseActiveElsewhere Cause = "handler-active-elsewhere"       // the vcpu that picked the port stood back for a handler under way on another
	CauseSlow            Cause = "slow-vcpu"                      // it was noticed all the time, and took longer than the bound
	CauseRepeated        Cause = "picked-again"                   // a vcpu picked a port whose event had been picked
	CauseNotAccepted     Cause = "picked-by-non-owner"            // a vcpu picked a port that it does not accept
	CauseUnbound         Cause = "dropped-while-unbound"          // the send came before the channel was bound, and the bind raised nothing
	CauseUnseenUnmask    Cause = "unmasked-unseen"                // it was masked and is handled, and no record unmasks it
	CauseUnknown         Cause = "unknown"
)

// Selector reports whether the cause is that a SEL bit was set or taken on a vcpu that does not accept the port.
func (c Cause) Selector() bool {
	return c == CauseMaskedElsewhere || c == CauseWrongVCPU || c == CauseNonOwner
}

// Text says the cause in words.
func (c Cause) Text() string {
	switch c {
	case CauseMaskedElsewhere:
		return "raised while masked, then unmasked on a vcpu that told itself, not the owner"
	case CauseWrongVCPU:
		return "the selector was set on a vcpu that does not accept the port"
	case CauseNonOwner:
		return "the vcpu that took the selector did not accept the port when it looked"
	case CauseStaleNotify:
		return "the sender told the vcpu that the port had been bound to before"
	case CauseKickMissing:
		return "the selector is set, and nothing makes the vcpu look at it"
	case CauseClearedBefore:
		return "the flag was cleared before anybody looked"
	case CauseDropped:
		return "the event was picked, and nobody wanted it"
	case CauseSwallowed:
		return "PEND was still set from before, so that sends stop there"
	case CauseActiveElsewhere:
		return "the vcpu that picked it stood back for a handler on another vcpu"
	case CauseUnbound:
		return "the send came before the channel was bound, and the bind raised nothing"
	case CauseSlow:
		return "it was signalled as it should be, and took longer than the bound"
	case CauseRepeated:
		return "it was picked again without a new event"
	case CauseNotAccepted:
		return "a vcpu picked it that does not accept it"
	case CauseUnseenUnmask:
		return "something unmasked it that no record shows"
	}
	return "the trace does not say"
}

// Finding is one thing that is wrong with one episode of one port. Times are those of the report: see TraceInfo.Unit. What does not
// exist (a lost event is never noticed), or what the trace does not tell, is null for a time, 0 for the number of an event or a port,
// which all count from 1, and -1 for a vcpu.
type Finding struct {
	ID             string       `json:"id"` // kind:port#n, n counting the findings of that kind and port from 1
	Kind           Kind         `json:"kind"`
	Port           evtchn.Port  `json:"port"`
	Word           int          `json:"word"`
	OwnerVCPU      evtchn.VCPU  `json:"owner_vcpu"` // to which the guest had bound it when it went unnoticed; -1: not known
	PendingAt      *int64       `json:"pending_at"`
	ExposedAt      *int64       `json:"exposed_at"`     // first exposure of the episode that was in vain
	UnnoticedAt    *int64       `json:"unnoticed_at"`   // the step after which nobody owed anything to anybody
	UnnoticedSeq   evtchn.Seq   `json:"unnoticed_seq"`  // 0: it was never unnoticed, only slow, handled twice or the like
	UnnoticedVCPU  evtchn.VCPU  `json:"unnoticed_vcpu"` // the vcpu that looked away; -1: none
	NoticedAt      *int64       `json:"noticed_at"`
	NoticedSeq     evtchn.Seq   `json:"noticed_seq"`     // 0: it never was, or the trace does not show where
	NoticedVCPU    evtchn.VCPU  `json:"noticed_vcpu"`    // -1: the same
	Delay          *int64       `json:"delay"`           // from exposed_at to noticed_at
	RescuedByPort  evtchn.Port  `json:"rescued_by_port"` // 0: none
	Cause          Cause        `json:"cause"`
	SwallowedSends uint64       `json:"swallowed_sends"` // sends that found PEND set while nobody was going to look
	Exposures      []int64      `json:"exposures"`       // every moment at which the port was exposed, or unmasked again, in the finding's stretch
	Evidence       []evtchn.Seq `json:"evidence"`        // in causal order
	Why            []string     `json:"why"`
	Strength       Strength     `json:"strength"`
	Deduced        []evtchn.Seq `json:"deduced"` // of the evidence, what is not in the capture, and an importer deduced
	Proof          []string     `json:"proof"`   // what bears the deduced links out, in sentences; nothing for a complete trace
	Settle         []string     `json:"settle"`  // what would decide it, if it is undecided

	ButFor     []Counterfactual `json:"but_for" schema:"null"`  // what would have changed the verdict, each run again; null: not asked, as of a capture, which cannot be
	ButForNote string           `json:"but_for_note,omitempty"` // that not everything was tried, or nothing found
	ButForWork *Work            `json:"but_for_work,omitempty"` // what it took
	// NoReturn is set by whoever looked for it: see FindNoReturn.
	NoReturn *NoReturn `json:"no_return,omitempty"`

	order    evtchn.Seq
	doubtful Kind // what it is if others bear it out: see corroborate
}

// Verdict is the answer about a whole trace.
type Verdict string

// The verdicts, the worst first.
const (
	VerdictLost     Verdict = "lost"
	VerdictViolated Verdict = "violated"
	VerdictLate     Verdict = "late"
	VerdictUnknown  Verdict = "unknown"
	VerdictClean    Verdict = "clean"
)

// ExitCode is the exit code of a command with that verdict: 0 clean, 10 lost, 11 late, 12 violated, 20 unknown.
func (v Verdict) ExitCode() int {
	switch v {
	case VerdictClean:
		return 0
	case VerdictLost:
		return 10
	case VerdictLate:
		return 11
	case VerdictViolated:
		return 12
	}
	return 20
}
