package predict_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay/predict"
)

// written reads events in the text form, each with # for its number.
func written(t *testing.T, lines string) *memory {
	t.Helper()
	var b strings.Builder
	b.WriteString("evtrace text 1\nsource: observed\nabi: 2l\nvcpus: 2\nword_bits: 64\nclock: x86-tsc\nunit: ns\nns_per_tick: 1\ncomplete: true\n\n")
	n := 0
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line != "" {
			n++
			b.WriteString(strings.Replace(line, "#", fmt.Sprint(n), 1) + "\n")
		}
	}
	fmt.Fprintf(&b, "end %d\n", n)
	r, err := text.NewReader(strings.NewReader(b.String()), "test")
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{meta: r.Meta()}
	var ev evtchn.Event
	for {
		if err := r.Next(&ev); err == io.EOF {
			return m
		} else if err != nil {
			t.Fatal(err)
		}
		_ = m.Add(&ev)
	}
}

// A port of vcpu 0 is kicked for once and takes 5 us. Then it is unmasked by the hypercall on vcpu 1, and 3 us later delivered without a
// visible send.
const unseen = `
# 0 - - port.bind p70 state=interdomain notify=v0 peer=0x100000005 inferred
# 0 - - owner.write p70 target=v0 inferred
# 0 v1 task:0 mask.clear p70 = 1
# 0 v1 task:0 pend.read p70 = 0 inferred
# 1000 v1 task:0 hypercall p70 call=send a=70 b=0
# 1000 v1 xen pend.tas p70 = 0 inferred
# 1000 v1 xen mask.read p70 = 0 inferred
# 1000 v1 xen sel.tas p70 target=v0 word=w1 = 0 inferred
# 1000 v1 xen up.tas p70 target=v0 = ? inferred
# 1000 v1 xen return errno=0 value=0 = ? inferred
# 6000 v0 upcall upcall
# 6000 v0 upcall sel.xchg unknown=0xfffffffffffffffd = 0x2 inferred
# 6000 v0 upcall deliver p70
# 6000 v0 upcall mask.tas p70 = 0
# 6000 v0 upcall pend.clear p70 = 1
# 6100 v0 upcall handled p70
# 6200 v0 upcall upcall.exit handled=1 = 0
# 9000 v1 task:0 hypercall p70 call=unmask a=70 b=0
# 9000 v1 xen mask.tac p70 = 1 inferred
# 9000 v1 xen pend.read p70 = 0 inferred
# 9000 v1 xen return errno=0 value=0 = ? inferred
# AT - foreign:0 send p70 dom=1 input inferred
# AT - foreign:0 pend.tas p70 = 0 inferred
# AT - foreign:0 mask.read p70 = 0 inferred
# AT - foreign:0 sel.tas p70 target=v0 word=w1 = 0 inferred
# AT - foreign:0 up.tas p70 target=v0 = ? inferred
# AT - foreign:0 ipi p70 target=v0 inferred
# AT v0 upcall upcall
# AT v0 upcall sel.xchg unknown=0xfffffffffffffffd = 0x2 inferred
# AT v0 upcall deliver p70
# AT v0 upcall pend.clear p70 = 1
# AT v0 upcall upcall.exit handled=1 = 0
`

// TestUnseenSend: a send that nobody saw may have come before the unmask, if vcpu 0 is as slow as the capture shows it to be.
func TestUnseenSend(t *testing.T) {
	for at, want := range map[string]uint64{"12000": 1, "15000": 0} {
		m := written(t, strings.ReplaceAll(unseen, "AT", at))
		h, err := predict.NewHarvest(m.meta)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.events {
			_ = h.Add(&m.events[i])
		}
		s := h.Samples(1)
		if d := s.Of(0, predict.PathKick); d.N() != 1 || d.Quantile(.5) != 5000 {
			t.Fatalf("%d samples, median %d, want 1 of 5000", d.N(), d.Quantile(.5))
		}
		for spec, want := range map[string]uint64{"xen-2005": want, "unmask-hypercall": 0} {
			if out := foretell(t, m, policy(t, spec), s, &memory{}, 0); out.Unseen != want {
				t.Errorf("delivered at %s, under %s: %d events may have come before their unmask, want %d", at, spec, out.Unseen, want)
			}
		}
	}
}
