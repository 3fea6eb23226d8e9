package evtchn_test

import (
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
	"github.com/google/go-cmp/cmp"
)

// A capture knows little: what is unknown is drawn as such, and ports that no event was about are left out.
func TestDescribeCapture(t *testing.T) {
	s, err := NewState(Meta{Source: SourceObserved, ABI: "2l", VCPUs: 2, WordBits: 8})
	if err != nil {
		t.Fatal(err)
	}
	want := `after #0, at 0
     vcpu  run      UP UMASK SEL
      0-1  unknown  ?  ?     ?
     port  state       peer     notify owner accept handler  P M
`
	if diff := cmp.Diff(want, s.Describe()); diff != "" {
		t.Errorf("at the beginning (-want +got):\n%s", diff)
	}
	for i, ev := range []Event{
		{Kind: KindPendTAS, VCPU: NoVCPU, Ctx: ForeignCtx(0), Port: 9},
		{Kind: KindMaskRead, VCPU: NoVCPU, Ctx: ForeignCtx(0), Port: 9},
		{Kind: KindSelTAS, VCPU: NoVCPU, Ctx: ForeignCtx(0), Port: 9, Args: [3]uint64{1, 1}},
		{Kind: KindMaskTAS, VCPU: 0, Ctx: TaskCtx(0), Port: 10},
	} {
		ev.Seq, ev.Time = Seq(i+1), Time(100*i)
		s.Apply(&ev)
	}
	want = `after #4, at 300
word 1   PEND ?1??????  ports 8-15
         MASK ?.1?????
     vcpu  run      UP UMASK SEL
        0  unknown  ?  ?     ?
        1  unknown  ?  ?     {0? 1 2? 3? 4? 5? 6? 7?} owed 1
     port  state       peer     notify owner accept handler  P M
        9  unknown     -        ?      ?     ?      unknown  1 0 pending #1, exposed #2, owed, selected on 1
`
	if diff := cmp.Diff(want, s.Describe()); diff != "" {
		t.Errorf("after four events (-want +got):\n%s", diff)
	}
}
