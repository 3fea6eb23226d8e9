package predict_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
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

// TestUnseenDraws: a doubt that could change the verdict makes a clean one unknown, whatever is drawn. The port is kicked for twice, and takes
// 5 us and 0.5 us.
func TestUnseenDraws(t *testing.T) {
	const exit = "# 6200 v0 upcall upcall.exit handled=1 = 0\n"
	_, kick, _ := strings.Cut(unseen, "= 0 inferred\n# 1000")
	kick, _, _ = strings.Cut("# 1000"+kick, "# 9000")
	again := strings.NewReplacer(" 1000 ", " 7000 ", " 6000 ", " 7500 ", " 6100 ", " 7600 ", " 6200 ", " 7700 ").Replace(kick)
	lines := strings.Replace(unseen, exit, "# 6150 v0 upcall mask.clear p70 = 1\n# 6150 v0 upcall pend.read p70 = 0 inferred\n"+exit+again, 1)
	m := written(t, strings.ReplaceAll(lines, "AT", "12000"))
	for _, draws := range []int{1, 2, 3, 20} {
		for seed := range uint64(4) {
			r, err := analyze.Predict(t.Context(), m, []evtchn.Policy{policy(t, "xen-2005"), policy(t, "unmask-hypercall")}, analyze.Options{},
				analyze.PredictOptions{Draws: draws, Seed: seed, MinSamples: 1})
			if err != nil {
				t.Fatal(err)
			}
			if n := r.Latencies[0].Count; n != 2 {
				t.Fatalf("%d latencies, want 2: %+v", n, r.Latencies)
			}
			old, fix := r.Policies[1], r.Policies[2]
			if old.Verdict != analyze.VerdictUnknown || old.Unknown != 1 || len(old.Doubts) != 1 || old.Lost != 0 {
				t.Errorf("%d draws from seed %d: xen-2005 is %s, with %d unknown, %d lost and the doubts %q, want unknown for one event", draws, seed,
					old.Verdict, old.Unknown, old.Lost, old.Doubts)
			}
			if fix.Verdict != analyze.VerdictClean {
				t.Errorf("%d draws from seed %d: unmask-hypercall is %s, want clean", draws, seed, fix.Verdict)
			}
			if r.ExitCode() != 20 {
				t.Errorf("exit code %d, want 20", r.ExitCode())
			}
		}
	}
}

// TestUnmasksNotShown: without the unmasks, no policy's row may say that it would change nothing.
func TestUnmasksNotShown(t *testing.T) {
	_, kick, _ := strings.Cut(unseen, "= 0 inferred\n# 1000")
	kick, _, _ = strings.Cut("# 1000"+kick, "# 9000")
	m := written(t, "# 0 - - owner.write p70 target=v0 inferred\n"+kick)
	r, err := analyze.Predict(t.Context(), m, []evtchn.Policy{policy(t, "unmask-hypercall")}, analyze.Options{}, analyze.PredictOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if p := r.Policies[1]; p.Verdict != analyze.VerdictUnknown || r.NotShown == "" {
		t.Errorf("verdict %s, not shown %q, want unknown, and the unmasks", p.Verdict, r.NotShown)
	}
	if s := b.String(); strings.Contains(s, "nowhere") || strings.Contains(s, "nothing otherwise") || !strings.Contains(s, "does not show the unmasks") {
		t.Errorf("the text says\n%s", s)
	}
	// With an unmask there is something to foretell.
	m = written(t, strings.ReplaceAll(unseen, "AT", "12000"))
	if r, err = analyze.Predict(t.Context(), m, nil, analyze.Options{}, analyze.PredictOptions{}); err != nil || r.NotShown != "" {
		t.Errorf("not shown: %q (error %v), want nothing", r.NotShown, err)
	}
}
