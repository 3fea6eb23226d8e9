package evtchn

import "testing"

// TestDigest: every preset has a meaning of its own, whatever it is called, and a changed step changes it.
func TestDigest(t *testing.T) {
	seen := make(map[string]string)
	for _, pre := range Presets() {
		d := pre.Policy.Digest()
		if len(d) != 64 || d != pre.Policy.Digest() {
			t.Errorf("%s: digest %q", pre.Name, d)
		}
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have the same digest", pre.Name, other)
		}
		seen[d] = pre.Name
	}
	p := Policy{Unmask: UnmaskHypercall}
	before, own := p.Digest(), Policy{}.Digest()
	st := &procTable[procUnmaskHypercall].steps[0]
	old := *st
	defer func() { *st = old }()
	st.kind = KindPendRead
	if p.Digest() == before {
		t.Error("another step, and the digest is the same")
	}
	if (Policy{}).Digest() != own {
		t.Error("a step of unmask-hypercall changed the digest of xen-2005")
	}
}
