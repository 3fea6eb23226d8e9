package evtchn

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Procedure is one procedure as a policy has it, for people: its steps in order, each one indivisible.
type Procedure struct {
	Role  string // what it is for, the same under all policies: "unmask", "set_pending", "upcall", ...
	Name  string // what it is called where it comes from
	Steps []StepDoc
}

// StepDoc is one step of a procedure.
type StepDoc struct {
	Kind Kind
	Text string
}

// Procedures lists the procedures in which policies differ, as p has them. The steps are those that the machine carries out.
func Procedures(p Policy) []Procedure {
	pp := p.procs()
	tick := procNone
	if p.Tick == TickSweep {
		tick = procSweep
	}
	requests := procNone
	if p.Unmask == UnmaskRequest {
		requests = procServeRequests
	}
	list := []struct {
		role string
		id   procID
	}{
		{"unmask", pp.unmask},
		{"the IPI's handler", requests},
		{"EVTCHNOP_unmask", procUnmaskCall},
		{"set_pending", pp.setPending},
		{"bind", procOpBindRemote},
		{"EVTCHNOP_bind_interdomain", procBindInterdomain},
		{"move to another vcpu", pp.rebind},
		{"EVTCHNOP_bind_vcpu", procBindVCPU},
		{"upcall", pp.upcall},
		{"handler of a driver", pp.handle},
		{"handler of /dev/xen/evtchn", pp.user},
		{"write-back", pp.write},
		{"tick", tick},
	}
	usesUnmaskCall := p.Unmask == UnmaskHypercall || p.Unmask == UnmaskAlways || p.Upcall == UpcallResend
	var out []Procedure
	for _, l := range list {
		if l.id == procUnmaskCall && !usesUnmaskCall {
			continue
		}
		q := Procedure{Role: l.role, Name: "nothing"}
		if l.id != procNone {
			q.Name = procTable[l.id].name
			q.Steps = p.steps(l.id)
		}
		if l.id == procNone && l.role != "tick" {
			continue
		}
		out = append(out, q)
	}
	return out
}

// Digest gives a policy's meaning as a number: the SHA-256, in hexadecimal, of its choices and of all that Procedures lists. It is
// another one as soon as a step of a procedure is added, dropped, exchanged or described otherwise, and the same wherever it is computed.
func (p Policy) Digest() string {
	h := sha256.New()
	for i, c := range p.Choices() {
		fmt.Fprintf(h, "%s=%s\n", axes[i].Name, c.Name)
	}
	for _, q := range Procedures(p) {
		fmt.Fprintf(h, "%s: %s\n", q.Role, q.Name)
		for _, st := range q.Steps {
			fmt.Fprintf(h, "  %s %s\n", st.Kind, st.Text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// steps lists the steps of a procedure that the policy can come to. A step's text that begins with "axis=choice: " is one that
// only that choice has.
func (p *Policy) steps(id procID) []StepDoc {
	var docs []StepDoc
	switch id {
	case procOpWrite2005:
		return []StepDoc{{KindOp, "unmask the port, on whatever vcpu this is"}}
	case procRebind2021:
		docs = p.steps(procDoMask2021)
	}
	for _, st := range procTable[id].steps {
		text := st.text
		if axis, rest, ok := strings.Cut(text, "="); ok && axisIndex(axis) >= 0 {
			choice, doc, ok := strings.Cut(rest, ": ")
			if ok && choiceIndex(axisIndex(axis), choice) >= 0 {
				a := axisIndex(axis)
				if axes[a].Choices[p.choices()[a]].Name != choice {
					continue
				}
				text = doc
			}
		}
		if p.Bind == BindQuiet && st.kind == KindPortBind {
			text = strings.TrimSuffix(text, "; then set_pending, in case a send was dropped before")
		}
		docs = append(docs, StepDoc{st.kind, text})
	}
	switch id {
	case procRebind2021, procOpWrite2021:
		docs = append(docs, p.steps(procDoUnmask2021)...)
	}
	return docs
}
