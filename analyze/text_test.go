package analyze

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteText(t *testing.T) {
	meta := simMeta()
	meta.Policy, meta.Notes = "xen-2005", []string{"Written by hand."}
	var b bytes.Buffer
	if err := judged(t, meta, Options{}, insert(report2005, open70)+sends+rescue).WriteText(&b, TextOptions{Name: "a.evt"}); err != nil {
		t.Fatal(err)
	}
	const want = `late: 1 of 2 events noticed too late (port 65).
Unnoticed: the port is pending and unmasked, and no vcpu is going to look at it.
Late: handled in the end, but only by luck, for no vcpu was going to look; or later than allowed.
SEL[v], vcpu v's selector: its bit w makes v read event word w, which holds ports w*64 to w*64+63.

late:65#1  port 65, word 1, bound to vcpu 0
  pending    1.204 ms
  exposed    1.205 ms
  unnoticed  1.205 ms, from #112 on, vcpu 3
  noticed    5.001 ms, vcpu 0, after 3.80 ms, thanks to port 70
  cause      masked-then-unmasked-elsewhere: raised while masked, then unmasked on a vcpu that told
             itself, not the owner
  1. Xen set port 65 pending at 1.204 ms (#103), as it does for every port that is being bound,
     while it was masked, so no selector was set (#104).
  2. vcpu 3 (task qemu-dm) unmasked it at 1.205 ms (#106): it found it pending (#107) and set its
     own selector, SEL[3] bit 1 (#108); the port belongs to vcpu 0.
  3. vcpu 3's upcall took the selector (#111), read word 1, and left: the port is not its own
     (#112). Nothing was owed to anyone any more.
  4. 2 more sends were swallowed because PEND was already set.
  5. It was noticed 3.80 ms later, only because port 70 of the same word rang (#202): vcpu 0 picked
     it up at 5.001 ms (#213).

Trace      47 events, 5.00 ms, 4 vcpus, sim, policy xen-2005, ABI 2l
Delivered  2; from exposure to handler: half within 1.07 us, 90% 3.80 ms, 99% 3.80 ms, the slowest
           3.80 ms
Cost       1 hypercall (0 of them unmask), 1 IPI, 0 wakeups, 2 upcalls (1 of them spurious), 1
           foreign port passed over, 2 sends found PEND set

Missing
  - Written by hand.

Next
  evtrace export --from 103 --until 112 a.evt  every event of that time
  evtrace replay --policy all a.evt            which fixes would have noticed it, and what they cost
  evtrace analyze --json a.evt                 every finding, with its evidence
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}

	b.Reset()
	if err := judged(t, meta, Options{}, boot+open70+rescueOf70).WriteText(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, want := firstLine(b.String()), "clean: no event was missed (1 event, 1 delivered)."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	full := errors.New("full")
	if err := judged(t, meta, Options{}, boot).WriteText(broken{full}, TextOptions{}); !errors.Is(err, full) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

func firstLine(s string) string {
	for i := range s {
		if s[i] == '\n' {
			return s[:i]
		}
	}
	return s
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
