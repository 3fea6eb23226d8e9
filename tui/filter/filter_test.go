package filter

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
)

// The report's events, roughly.
var events = []evtchn.Event{
	{Seq: 1, Time: 1204100, VCPU: 3, Ctx: evtchn.TaskCtx(1), Kind: evtchn.KindOp, Args: [3]uint64{0, 1, 12}, Flags: evtchn.FlagInput},
	{Seq: 2, Time: 1204350, VCPU: 3, Ctx: evtchn.CtxXen, Kind: evtchn.KindPortBind, Port: 65},
	{Seq: 3, Time: 1204380, VCPU: 3, Ctx: evtchn.CtxXen, Kind: evtchn.KindPendTAS, Port: 65},
	{Seq: 4, Time: 1205100, VCPU: 3, Ctx: evtchn.TaskCtx(1), Kind: evtchn.KindMaskClear, Port: 65, Res: 1},
	{Seq: 5, Time: 1205140, VCPU: 3, Ctx: evtchn.TaskCtx(1), Kind: evtchn.KindSelTAS, Port: 65, Args: [3]uint64{3, 1}},
	{Seq: 6, Time: 1205420, VCPU: 3, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindSelXchg, Res: 2},
	{Seq: 7, Time: 1205450, VCPU: 3, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindWordRead, Args: [3]uint64{1}},
	{Seq: 8, Time: 1205470, VCPU: 3, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindUpcallExit},
	{Seq: 9, Time: 1900000, VCPU: -1, Ctx: evtchn.ForeignCtx(0), Kind: evtchn.KindNotifyRead, Port: 66, Res: 0xffff, Cause: 2},
	{Seq: 10, Time: 1900080, VCPU: 0, Ctx: evtchn.TaskCtx(2), Kind: evtchn.KindKick, Args: [3]uint64{2}, Flags: evtchn.FlagInferred, Dom: 7},
	{Seq: 11, Time: 1900090, VCPU: 0, Ctx: 0x3000, Kind: 250, Res: 1 << 63},
}

var meta = evtchn.Meta{WordBits: 64, VCPUs: 16, Tasks: []string{"idle", "qemu"}}

func seqs(f *Filter) []evtchn.Seq {
	var s []evtchn.Seq
	for i := range events {
		if f.Match(&events[i]) {
			s = append(s, events[i].Seq)
		}
	}
	return s
}

func TestMatch(t *testing.T) {
	all := []evtchn.Seq{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	type s = []evtchn.Seq
	for _, tt := range []struct {
		src  string
		want []evtchn.Seq
	}{
		{"", all},
		{" \t", all},
		{"true", all},
		{"false", nil},
		{"65", s{2, 3, 4, 5}},
		{"65,66", s{2, 3, 4, 5, 9}},
		{"60-65", s{2, 3, 4, 5}},
		{"p65", nil}, // see TestErrors
		{"port=65", s{2, 3, 4, 5}},
		{"port=p65", s{2, 3, 4, 5}},
		{"port=65 && vcpu=3 and task=qemu", s{4, 5}},
		{"port=65 task=task:1", s{4, 5}},
		{"task=task:2", s{10}},
		{"port!=65 vcpu=v3", s{1, 6, 7, 8}},
		{"vcpu=-", s{9}},
		{"vcpu=-1", s{9}},
		{"vcpu=0,-1", s{9, 10, 11}},
		{"vcpu=-1-2", s{9, 10, 11}},
		{"mask.clear", s{4}},
		{"kind=mask.clear,sel.tas", s{4, 5}},
		{"kind=sel.*", s{5, 6}},
		{"sel.*,mask.*", s{4, 5, 6}},
		{"kind!=sel.*,mask.* ctx=task", s{1, 10}},
		{"ctx=upcall,-", s{6, 7, 8}},
		{"input", s{1}},
		{"input=0 inferred=1", s{10}},
		{"t=1.2054ms-1205450", s{6, 7}},
		{"t>=1.9ms", s{9, 10, 11}},
		{"seq>8 seq<10", s{9}},
		{"word=1", s{2, 3, 4, 5, 7, 9}},
		{"word=w1 port=0", s{7}},
		{"dom=7", s{10}},
		{"port==65", s{2, 3, 4, 5}},
		{"port == 65 && vcpu != 0 && kind in [\"unmask\", \"mask.clear\", \"upcall.exit\"]", nil},
		{"vcpu != 0 && kind in ['mask.clear', 'upcall.exit']", s{4, 8}},
		{"kind startsWith 'sel.' or kind == 'op'", s{1, 5, 6}},
		{"kind matches '^(mask|pend)'", s{3, 4}},
		{"not (kind == 'op') and vcpu < 3 and vcpu >= 0", s{10, 11}},
		{"port in 60..70", s{2, 3, 4, 5, 9}},
		{"port in 1..131071", s{2, 3, 4, 5, 9}},
		{"port not in [65]", s{1, 6, 7, 8, 9, 10, 11}},
		{"port in seq+63..66", s{2}},
		{"port - 5 in 60..1000000000", s{2, 3, 4, 5, 9}},
		{"3 == vcpu && 64 < port", s{2, 3, 4, 5}},
		{"vcpu != target", s{10}},
		{"vcpu!=target", s{10}},
		{"port % 2 == 1 && t < 1.2051e6", s{2, 3}},
		{"res == -1", s{9}},
		{"cause > 0", s{9}},
		{"input == 1 || inferred == true", s{1, 10}},
		{"input != 0", s{1}},
		{"task == 'qemu'", s{1, 4, 5}},
		{"task in ['qemu', 'task:2']", s{1, 4, 5, 10}},
		{"len(task) == 4", s{1, 4, 5}},
		{"task == '' && ctx != 'xen'", s{6, 7, 8, 9, 11}},
		{"port == 65 ? vcpu == 3 : seq == 1", s{1, 2, 3, 4, 5}},
		{"1 < vcpu < 4 && port == 0", s{1, 6, 7, 8}},
		{"10 / port > 0.152 && port > 0", s{2, 3, 4, 5}},
		{"seq in []", nil},
	} {
		if tt.src == "p65" || strings.Contains(tt.src, `"unmask"`) {
			if _, err := Compile(tt.src); err == nil {
				t.Errorf("%s: no error", tt.src)
			}
			continue
		}
		f, err := Compile(tt.src)
		if err != nil {
			t.Errorf("%q: %v", tt.src, err)
			continue
		}
		f = f.Bind(meta)
		if diff := cmp.Diff(tt.want, seqs(f)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.src, diff)
		}
		if f.String() != tt.src {
			t.Errorf("String: got %q, want %q", f.String(), tt.src)
		}
		if (f.All()) != (len(tt.want) == len(all)) {
			t.Errorf("%q: All is %t", tt.src, f.All())
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"prot == 65", `column 1: unknown name "prot"; did you mean "port"? (names: seq, t, vcpu, target, port, word, res, cause, dom, kind, ctx, task, input, inferred)`},
		{"prot=65", `column 1: unknown name "prot"; did you mean "port"? (names: `},
		{"port == 65 && vpcu == 3", `column 15: unknown name "vpcu"; did you mean "vcpu"?`},
		{"PORT == 65", `column 1: unknown name "PORT"; did you mean "port"?`},
		{"kind == 'mask.claer'", `column 9: unknown kind "mask.claer"; did you mean "mask.clear"? (kinds: send, virq,`},
		{"kind in ['op', 'mask']", `column 16: unknown kind "mask"; did you mean "mask.tas"?`},
		{"kind=op,mask", `column 9: unknown kind "mask"`},
		{"kind=msk.*", `column 6: unknown kind "msk.*"`},
		{"port=65 mask.claer", `column 9: unknown kind "mask.claer"; did you mean "mask.clear"?`},
		{"ctx == 'uppcall'", `column 8: unknown context "uppcall"; did you mean "upcall"? (contexts: none, xen, upcall, task, foreign)`},
		{"ctx=dom0", `column 5: unknown context "dom0"`},
		{"kind == mask.clear", `column 9: in an expression, a kind is text: kind == "mask.clear"`},
		{"kind == op", `column 9: in an expression, a kind is text: kind == "op"`},
		{"PEND[65]", `column 1: PEND is of the state after an event: a condition can ask for it, a filter cannot`},
		{"port", "column 1: the expression is of type int, want true or false"},
		{"port == 'x'", "column 6: invalid operation: == (mismatched types int and string)"},
		{"port=65 || port=66", `in an expression, equality is ==`},
		{"port=x", `column 6: port: got "x", want a number`},
		{"port=65,,66", "column 9: a value is missing"},
		{"port=70-60", "column 6: range 70-60: want the lower end first"},
		{"t=1parsec", `column 3: t: got "1parsec", want a time such as`},
		{"kind<op", "column"},
		{"input=maybe", `column 7: input: got "maybe", want 0 or 1`},
		{"any(1..9, # > port)", `column 1: unknown function "any"`},
		{"bitan(port, 1) == 1", `column 1: unknown function "bitan"; did you mean "bitand"?`},
		{"len(1..999999) > port", "column 6: a range can stand only behind in"},
		{"port in [1..9]", "column 11: a range can stand only behind in"},
		{"kind in 1..9", "column 6: invalid operation"},
		{"let x = 1; x == port", "column 5: let cannot be used here"},
		{"port == 65 &&", "column 13: unexpected token EOF"},
		{"(port == 65", "unexpected token EOF"},
		{"port == \"65", "literal not terminated"},
		{"kind matches '('", "column"},
		{"port[3] == 1", "column 1: port has no index and no parts"},
		{"\xff", "column 1: not UTF-8"},
		{"µ == \xff", "column 6: not UTF-8"},
		{strings.Repeat("(", MaxLength+1), "column 4097: 4097 bytes, want at most 4096"},
	} {
		_, err := Compile(tt.src)
		var e *Error
		switch {
		case err == nil:
			t.Errorf("%q: no error, want %s", tt.src, tt.want)
		case !errors.As(err, &e):
			t.Errorf("%q: error is %T", tt.src, err)
		case !strings.Contains(err.Error(), tt.want):
			t.Errorf("%q:\n got %s\nwant %s", tt.src, err, tt.want)
		case strings.ContainsAny(err.Error(), "\n\r"):
			t.Errorf("%q: more than one line: %q", tt.src, err)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"", "column 1: no condition, want one like"},
		{"PEND", "column 1: PEND wants an index in brackets, as in PEND[65]"},
		{"UP", "as in UP[3]"},
		{"PEMD[65]", `column 1: unknown name "PEMD"; did you mean "PEND"? (names: seq,`},
		{"pend[65]", `column 1: unknown name "pend"; did you mean "PEND[65]"?`},
		{"PEND[65] && UP[128]", `column 16: UP[128]: want a vcpu from 0 to 127`},
		{"PEND[0]", `column 6: PEND[0]: want a port from 1 to 131071`},
		{"PEND['x']", "column"},
		{"RUN[3] == 'sleeping'", `column 11: unknown run state "sleeping" (run states: running, runnable, blocked, polling, offline)`},
		{"RUN[3] in ['blokced']", `did you mean "blocked"?`},
		{"SEL[0]", "column 1: the expression is of type int, want true or false"},
		{"PEND=65", "column 1: PEND is of the state"},
		{"PEND[65] == 2", "mismatched types"},
	} {
		if _, err := CompileCondition(tt.src); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q:\n got %v\nwant %s", tt.src, err, tt.want)
		}
	}
}

func TestPushdown(t *testing.T) {
	type ports = []evtchn.Port
	type kinds = []evtchn.Kind
	for _, tt := range []struct {
		src   string
		ports ports
		kinds kinds
		p, k  bool
	}{
		{src: ""},
		{src: "65", ports: ports{65}, p: true},
		{src: "port != 65"},
		{src: "!(port != 65)", ports: ports{65}, p: true},
		{src: "port in [67, 65, 67] && t > 3", ports: ports{65, 67}, p: true},
		{src: "port == 65 && port == 66", p: true},
		{src: "port == 65 || port == 66", ports: ports{65, 66}, p: true},
		{src: "port == 65 || vcpu == 3"},
		{src: "port == -1", p: true},
		{src: "port in 65..67", ports: ports{65, 66, 67}, p: true},
		{src: "port in 65..67 && port not in [66]", ports: ports{65, 66, 67}, p: true},
		{src: "65 op", ports: ports{65}, kinds: kinds{evtchn.KindOp}, p: true, k: true},
		{src: "kind startsWith 'sel.'", kinds: kinds{evtchn.KindSelTAS, evtchn.KindSelXchg}, k: true},
		{src: "!(kind not in ['sel.tas'] || port != 65)", ports: ports{65}, kinds: kinds{evtchn.KindSelTAS}, p: true, k: true},
		{src: "(port == 65 && kind == 'op') || (port == 66 && kind == 'send')", ports: ports{65, 66}, kinds: kinds{evtchn.KindSend, evtchn.KindOp}, p: true, k: true},
		{src: "false", p: true, k: true},
	} {
		f, err := Compile(tt.src)
		if err != nil {
			t.Fatalf("%q: %v", tt.src, err)
		}
		gotP, okP := f.Ports()
		gotK, okK := f.Kinds()
		if okP != tt.p || okK != tt.k || !cmp.Equal(gotP, tt.ports) || !cmp.Equal(gotK, tt.kinds) {
			t.Errorf("%q: got ports %v %t, kinds %v %t, want %v %t, %v %t", tt.src, gotP, okP, gotK, okK, tt.ports, tt.p, tt.kinds, tt.k)
		}
	}
}

// What fails at run time does not match, and is told.
func TestErr(t *testing.T) {
	f, err := Compile("10 % vcpu == 1")
	if err != nil {
		t.Fatal(err)
	}
	if f.Err() != nil {
		t.Errorf("before: %v", f.Err())
	}
	if got, want := seqs(f), []evtchn.Seq{1, 2, 3, 4, 5, 6, 7, 8}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := f.Err(); err == nil || !strings.HasPrefix(err.Error(), "event #10: column 4: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestTicks(t *testing.T) {
	if _, err := Compile("t = 3.2us"); err == nil {
		t.Error("a term with spaces is one")
	}
	f, err := Compile("t=3.2us")
	if err != nil {
		t.Fatal(err)
	}
	if f = f.Bind(evtchn.Meta{Unit: "ticks", NsPerTick: 0.5, WordBits: 32}); !f.Match(&evtchn.Event{Time: 6400}) || f.Match(&evtchn.Event{Time: 3200}) {
		t.Error("ticks are not converted")
	}
}
