package doctor

import (
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// notes says what stands against the answer.
func (e *Examiner) notes() {
	r := &e.report
	say := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	again, headless, cut, empty := 0, 0, 0, 0
	guestTime, xenTime := false, false
	for i := range r.Dumps {
		d := &r.Dumps[i]
		if d.Source == dump.Guest.String() {
			guestTime = guestTime || d.Time != ""
		} else {
			xenTime = xenTime || d.Time != ""
		}
		if d.Source == dump.KeyQ.String() && d.VCPUs == 0 {
			empty++
		}
		switch {
		case d.Again:
			again++
		case d.Source != dump.KeyE.String():
		case d.Domain == nil:
			headless++
		case !d.Whole:
			cut++
		}
	}
	if again > 0 {
		say("%s the same as one before, pasted again: not counted", isAre(again, "dump"))
	}
	if headless > 0 {
		say("%s without the beginning, so that its domain is not said: rows that fit a domain's other dumps are counted as of that domain", isAre(headless, "dump"))
	}
	if cut > 0 {
		say("%s not whole: ports that are missing there are not taken for closed", isAre(cut, "dump"))
	}
	if empty > 0 {
		say("%s of key q without a row that can be read: a mail program may have folded or encoded the text (quoted-printable); take it from the log itself",
			isAre(empty, "dump"))
	}
	if guestTime && xenTime {
		say("the times of dumps from guest are by that guest's clock, the others by Xen's: the two cannot be compared")
	}
	single := false
	for _, h := range e.domains {
		single = single || h.count == 1
	}
	if single && slices.ContainsFunc(r.Suspects, func(s Suspect) bool { return s.Persisted == nil }) {
		say("what only one dump shows may be in flight: take a second one")
	}
	flying := 0
	for i := range r.Cleared {
		if c := &r.Cleared[i]; c.Why == InFlight && c.Domain != nil && e.domains[*c.Domain].count == 1 {
			flying++
		}
	}
	if flying > 0 {
		e.another = true
		look := "its vcpu is still to look, as is normal for a moment: if a second dump shows the same, it does not look"
		if flying > 1 {
			look = "their vcpus are still to look, as is normal for a moment: if a second dump shows the same, they do not look"
		}
		say("%s selected or queued, and %s", isAre(flying, "pending port"), look)
	}
	if r.Passed > 0 {
		say("%s suspect in one dump and no longer in the next: in flight, as is normal", wasWere(r.Passed, "port"))
	}
	if e.lists == 0 {
		if e.tables > 0 {
			say("lsevtchn's table has no pending and no mask bits: nothing can be said of lost events")
		} else {
			say("key q alone does not show ports: nothing can be said of lost events")
		}
	}
	if r.Omitted > 0 {
		say("%d more dumps were judged and are not listed", r.Omitted)
	}
}

// next says what to do now.
func (e *Examiner) next() {
	r := &e.report
	say := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(r.Next, s) {
			r.Next = append(r.Next, s)
		}
	}
	eDumps, qDumps := 0, 0
	for i := range r.Dumps {
		switch d := &r.Dumps[i]; {
		case d.Again:
		case d.Source == dump.KeyE.String():
			eDumps++
		case d.Source == dump.KeyQ.String():
			qDumps++
		}
	}
	undecided := slices.ContainsFunc(r.Suspects, func(s Suspect) bool { return s.Persisted == nil })
	if eDumps == 0 || undecided || e.another {
		say("xl debug-keys e; sleep 5; xl debug-keys e; xl debug-keys q; xl dmesg > dump.txt\n    and then: evtrace doctor dump.txt")
	}
	for i := range r.Suspects {
		s := &r.Suspects[i]
		dom := number(s.Domain)
		switch {
		case s.Class == ClassLost && standing(*s) > 0 && s.Ended == 0:
			if qDumps == 0 {
				say("xl debug-keys q; xl dmesg\n    UP and UMASK of each vcpu; a Linux guest answers in its own dmesg with every SEL")
			}
			if dom != dump.NoDomain {
				say("lsevtchn %d\n    what port %d is for; in the guest, /proc/interrupts twice: does its count still grow?", dom, s.Port)
			}
			say("docs/capture.md\n    record the next time it happens: a capture shows which vcpu looked away, and why")
		case s.Class == ClassOffline && dom != dump.NoDomain:
			say("xl vcpu-list %d\n    is vcpu %d up?", dom, s.VCPU)
		case s.Class == ClassNotKicked && dom != dump.NoDomain:
			say("xl vcpu-list %d; xl debug-keys r; xl dmesg\n    is vcpu %d on a run queue? For an HVM guest, is its callback's vector in service?", dom, s.VCPU)
		case s.Class == ClassPeer:
			say("xl list; xenstore-ls -f | grep event-channel\n    which domain is still to be there, and who believes in the channel")
		}
	}
	if e.noTime && undecided {
		say("console_timestamps=boot on Xen's command line\n    gives dumps time stamps, so that it is known how far apart they are")
	}
}

// isAre writes "1 dump is" or "3 dumps are".
func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

func wasWere(n int, what string) string {
	if n == 1 {
		return "1 " + what + " was"
	}
	return fmt.Sprintf("%d %ss were", n, what)
}

// portName writes a port for people; 0 stands for a vcpu as a whole.
func portName(p evtchn.Port, v evtchn.VCPU) string {
	if p == evtchn.NoPort {
		return fmt.Sprintf("vcpu %d", v)
	}
	return fmt.Sprintf("port %d", p)
}
