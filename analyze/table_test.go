package analyze

import (
	"strings"
	"testing"
)

// TestHeaviest: within a kind, what is well supported comes before what is not, and the longer before the shorter; the report keeps its order.
func TestHeaviest(t *testing.T) {
	ms := func(n int64) *int64 { n *= 1_000_000; return &n }
	r := &Report{Verdict: VerdictLate, Findings: []Finding{
		{ID: "late:1#1", Kind: KindLate, Strength: StrengthWeak, Delay: ms(700), UnnoticedSeq: 1, NoticedSeq: 2},
		{ID: "late:1#2", Kind: KindLate, Strength: StrengthSeen, Delay: ms(5), UnnoticedSeq: 3, NoticedSeq: 4},
		{ID: "late:1#3", Kind: KindLate, Strength: StrengthSeen, Delay: ms(600), UnnoticedSeq: 5, NoticedSeq: 6, RescuedByPort: 9},
		{ID: "late:1#4", Kind: KindLate, Strength: StrengthInferred, Delay: ms(900), UnnoticedSeq: 7, NoticedSeq: 8},
		{ID: "lost:1#1", Kind: KindLost, Strength: StrengthWeak, UnnoticedSeq: 9},
	}}
	r.Totals.Late, r.Totals.Lost = 4, 1
	var b strings.Builder
	if err := r.WriteText(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	s, at := b.String(), -1
	for _, id := range []string{"lost:1#1", "late:1#3", "late:1#2", "late:1#4", "late:1#1"} {
		if i := strings.Index(s, "\n"+id); i <= at {
			t.Errorf("%s is not in its place:\n%s", id, s)
		} else {
			at = i
		}
	}
	for id, want := range map[string]string{"late:1#1": " again   weak", "late:1#3": " 9       seen", "late:1#4": " again   inferred"} {
		_, row, _ := strings.Cut(s, "\n"+id)
		if row, _, _ = strings.Cut(row, "\n"); !strings.Contains(row, want) {
			t.Errorf("%s has %q, want %q", id, row, want)
		}
	}
	if r.Findings[0].ID != "late:1#1" {
		t.Error("the report's own order was changed")
	}
}
