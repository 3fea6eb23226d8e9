package filter

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// lost is the state of the report: port 65 pending, unmasked, unnoticed; vcpu 0 owns it and has nothing selected.
func lost(t testing.TB, source string) *evtchn.State {
	t.Helper()
	st, err := evtchn.NewState(evtchn.Meta{Source: source, ABI: "2l", VCPUs: 4, WordBits: 64})
	if err != nil {
		t.Fatal(err)
	}
	for i, ev := range []evtchn.Event{
		{VCPU: evtchn.NoVCPU, Kind: evtchn.KindStart, Args: [3]uint64{3}},
		{VCPU: 3, Kind: evtchn.KindHypercall},
		{VCPU: 3, Kind: evtchn.KindPortBind, Port: 65, Args: [3]uint64{uint64(evtchn.PortInterdomain), 1}},
		{VCPU: 3, Kind: evtchn.KindOwnerWrite, Port: 65, Args: [3]uint64{2}},
		{VCPU: 3, Kind: evtchn.KindPendTAS, Port: 65},
		{VCPU: 3, Kind: evtchn.KindMaskRead, Port: 65, Res: 1},
		{VCPU: 3, Kind: evtchn.KindReturn},
		{VCPU: 3, Kind: evtchn.KindMaskClear, Port: 65, Res: 1},
		{VCPU: 3, Kind: evtchn.KindSelTAS, Port: 65, Args: [3]uint64{3, 1}},
		{VCPU: 3, Kind: evtchn.KindUpWrite, Port: 65, Args: [3]uint64{3, 1}, Res: 1},
		{VCPU: 3, Kind: evtchn.KindUpWrite, Args: [3]uint64{3, 0}},
		{VCPU: 3, Kind: evtchn.KindSelXchg, Res: 2},
		{VCPU: 3, Kind: evtchn.KindWordRead, Args: [3]uint64{1}},
		{VCPU: 3, Kind: evtchn.KindSelTAS, Args: [3]uint64{3, 2}},
	} {
		ev.Seq = evtchn.Seq(i + 1)
		st.Apply(&ev)
	}
	return st
}

func TestFires(t *testing.T) {
	const one, zero, unknown = evtchn.One, evtchn.Zero, evtchn.Unknown
	sim, obs := lost(t, evtchn.SourceSim), lost(t, evtchn.SourceObserved)
	for _, tt := range []struct {
		src      string
		sim, obs evtchn.Bit
	}{
		{"PEND[65]", one, one},
		{"PEND(65)", one, one},
		{"PEND[65] == 1 && MASK[65] == 0", one, one},
		{"1 == PEND[65]", one, one},
		{"PEND[65] && !MASK[65] && SEL[0]==0", one, unknown},
		{"PEND[66]", zero, unknown},
		{"!PEND[66]", one, unknown},
		{"PEND[66] || PEND[65]", one, one},
		{"PEND[66] && MASK[65]", zero, zero},
		{"PEND[66] == PEND[65]", zero, unknown},
		{"EXPOSED[65] && UNNOTICED[65]", one, one},
		{"EXPOSED[66]", zero, unknown},
		{"UP[3]", zero, zero},
		{"UMASK[3]", one, one},
		{"UP[0]", zero, unknown},
		{"UP[7]", unknown, unknown},
		{"PEND[4096]", unknown, unknown},
		{"SEL[3] == 4", one, one},
		{"SEL[3] in [2, 4]", one, one},
		{"SEL[3] in 3..5", one, one},
		{"4 >= SEL[3]", one, one},
		{"bitand(SEL[3], 4) != 0", one, one},
		{"bitand(SEL[0], 4) != 0", zero, unknown},
		{"SEL[0] == 0", one, unknown},
		{"OWNER[65] == 2", one, one},
		{"OWNER[65] != NOTIFY[65]", one, one},
		{"OWNER[port] != vcpu", one, one},
		{"OWNER[66] == 0", one, unknown},
		{"NOTIFY[65] == 1", one, one},
		{`RUN[3] == "running"`, one, one},
		{`RUN[3] in ["blocked", "running"]`, one, one},
		{`RUN[0] != "running"`, one, unknown},
		{`RUN[0] startsWith "off"`, one, unknown},
		{"PEND[port] && port == 65", one, one},
		{"PEND[port + 1]", zero, unknown},
		{"PEND[-port]", unknown, unknown},
		{"input ? PEND[66] : PEND[65]", one, one},
		{"PEND[65] && t > 10", zero, zero},
		{"port=65", one, one},
		{"mask.*", one, one},
	} {
		c, err := CompileCondition(tt.src)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		ev := &evtchn.Event{Seq: 15, Time: 10, VCPU: 3, Port: 65, Kind: evtchn.KindMaskClear}
		for _, st := range []struct {
			name string
			st   *evtchn.State
			want evtchn.Bit
		}{{"sim", sim, tt.sim}, {"observed", obs, tt.obs}} {
			if got := c.Value(ev, st.st); got != st.want {
				t.Errorf("%s, %s: got %s, want %s", tt.src, st.name, got, st.want)
			}
			if got := c.Fires(ev, st.st); got != (st.want == one) {
				t.Errorf("%s, %s: fires: got %t", tt.src, st.name, got)
			}
		}
		if got := c.Value(ev, nil); got == one && tt.src[0] >= 'A' && tt.src[0] <= 'Z' {
			t.Errorf("%s: fires without a state", tt.src)
		}
	}
}

// atoms of which random conditions are made.
var atoms = []string{"PEND[65]", "MASK[65]", "EXPOSED[65]", "UP[1]", "UMASK[1]", "SEL[1] == 3", "SEL[1] != 1", "bitand(SEL[1], 2) != 0",
	"SEL[1] > 1", `RUN[1] == "blocked"`, `RUN[1] in ["running", "offline"]`, "OWNER[65] == 1", "OWNER[65] == vcpu", "PEND[65] == MASK[65]",
	"PEND[port]", "port == 65", "input", "(UP[1] ? PEND[65] : MASK[65])", "port % 2 == 0"}

func condition(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0 {
		return rapid.SampledFrom(atoms).Draw(t, "atom")
	}
	switch rapid.IntRange(0, 2).Draw(t, "op") {
	case 0:
		return "!(" + condition(t, depth-1) + ")"
	case 1:
		return "(" + condition(t, depth-1) + " && " + condition(t, depth-1) + ")"
	}
	return "(" + condition(t, depth-1) + " || " + condition(t, depth-1) + ")"
}

// A condition that is not unknown keeps its value whatever the unknown bits turn out to be; one over a state of which all is known is
// never unknown.
func TestUnknownDecidesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		src := condition(rt, 4)
		c, err := CompileCondition(src)
		if err != nil {
			rt.Fatalf("%s: %v", src, err)
		}
		ev := &evtchn.Event{VCPU: 1, Port: evtchn.Port(rapid.SampledFrom([]int{65, 66}).Draw(rt, "port")),
			Flags: evtchn.Flags(rapid.IntRange(0, 1).Draw(rt, "input"))}
		bit := func(name string) bool { return rapid.Bool().Draw(rt, name) }
		anyBit := func(name string) evtchn.Bit { return evtchn.Bit(rapid.IntRange(0, 1).Draw(rt, name)) }

		full := lost(t, evtchn.SourceSim)
		set := func(b *evtchn.Bits, name string) {
			for _, p := range []int{65, 66} {
				b.Val[p/64] &^= 1 << (p % 64)
				if bit(name) {
					b.Val[p/64] |= 1 << (p % 64)
				}
			}
		}
		set(&full.Pend, "pend")
		set(&full.Mask, "mask")
		v := &full.V[1]
		v.Up, v.Umask = anyBit("up"), anyBit("umask")
		v.Sel = uint64(rapid.IntRange(0, 3).Draw(rt, "sel"))
		v.Run = evtchn.RunState(rapid.IntRange(1, int(evtchn.Offline)).Draw(rt, "run"))
		full.PortAt(65).Owner = evtchn.VCPU(rapid.IntRange(0, 2).Draw(rt, "owner"))
		want := c.Value(ev, full)
		if want == evtchn.Unknown {
			rt.Fatalf("%s is unknown, and nothing is", src)
		}

		part := full.Clone() // knows less
		for i := range 2 {
			if bit("forget pend") {
				part.Pend.Val[1] &^= 2 << i
				part.Pend.Known[1] &^= 2 << i
			}
			if bit("forget mask") {
				part.Mask.Val[1] &^= 2 << i
				part.Mask.Known[1] &^= 2 << i
			}
			if bit("forget sel") {
				part.V[1].Sel &^= 1 << i
				part.V[1].SelKnown &^= 1 << i
			}
		}
		if bit("forget up") {
			part.V[1].Up = evtchn.Unknown
		}
		if bit("forget umask") {
			part.V[1].Umask = evtchn.Unknown
		}
		if bit("forget run") {
			part.V[1].Run = evtchn.RunUnknown
		}
		if bit("forget owner") {
			part.PortAt(65).Owner = evtchn.NoVCPU
		}
		if got := c.Value(ev, part); got != evtchn.Unknown && got != want {
			rt.Fatalf("%s is %s with less known, and %s with all known", src, got, want)
		}
	})
}
