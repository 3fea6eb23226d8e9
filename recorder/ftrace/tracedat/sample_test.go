package tracedat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/evtrace/evtrace/recorder/ftrace/tracedat/tracedattest"
)

// The formats of the sample.
var (
	unmask = tracedattest.Format{System: "evtchn", Name: "unmask", ID: 1500, Fields: []tracedattest.Field{
		{Decl: "unsigned long __probe_ip", Size: 8}, {Decl: "u32 port", Size: 4}}}
	handler = tracedattest.Format{System: "irq", Name: "irq_handler_entry", ID: 20, Fields: []tracedattest.Field{
		{Decl: "int irq", Size: 4, Signed: true}, {Decl: "__data_loc char[] name", Size: 4, Signed: true}}}
	odd = tracedattest.Format{System: "ftrace", Name: "odd", ID: 5, Fields: []tracedattest.Field{
		{Decl: "s8 a", Size: 1, Signed: true}, {Decl: "u16 b", Size: 2}, {Decl: "char comm[16]", Size: 16, Signed: true},
		{Decl: "__rel_loc char[] s", Size: 4}, {Decl: "s64 c", Size: 8, Signed: true}}}
)

// shape is a kind of file.
type shape struct {
	version int
	big     bool
	long    int
	packing string
}

func (s shape) String() string {
	order := "little"
	if s.big {
		order = "big"
	}
	return fmt.Sprintf("v%d %s endian, %d bytes, %s", s.version, order, s.long, s.packing)
}

// shapes are all kinds of files.
func shapes() (list []shape) {
	for _, big := range []bool{false, true} {
		for _, long := range []int{4, 8} {
			list = append(list, shape{6, big, long, "none"})
			for _, packing := range []string{"none", "zstd", "zlib"} {
				list = append(list, shape{7, big, long, packing})
			}
		}
	}
	return list
}

// sample is a small file in which everything occurs that pages can hold.
func sample(s shape) *tracedattest.File {
	f := &tracedattest.File{Version: s.version, Big: s.big, Long: s.long, PageSize: 512, Packing: s.packing,
		Formats: []tracedattest.Format{odd, unmask, handler},
		Comms:   "12 kworker/0:1\n130 a b\n",
		Symbols: "ffffffff81000000 T _text\nffffffff81664d00 t evtchn_2l_unmask\nffffffff81665000 t other\t[mod]\n",
		Options: []tracedattest.Option{{ID: 5, Data: []byte("Linux here\x00")}, {ID: 9, Data: []byte("1.0\x00")},
			{ID: 2, Data: []byte("CPU: 1\nentries: 9\noverrun: 7\ndropped events: 3\n\x00")}, {ID: 8, Data: f32(s.big, 3)}, {ID: 99, Data: []byte("?")}},
		Clock: "local [mono] x86-tsc\n"}
	u := func(pid, port int) []byte { return f.Record(&unmask, 1|8, 2, pid, 0x81664d0a-1<<32, port) }
	h := func(name string) []byte { return f.Record(&handler, 0, 0, 0, -3, name) }
	type item = tracedattest.Item
	f.CPUs = [][]tracedattest.Page{
		{
			{Stamp: 1_000_000_000, Items: []item{
				tracedattest.Event(0, u(12, 65)),
				tracedattest.Event(1500, h("timer0")),
				{Type: tracedattest.Padding, Delta: 100, Data: make([]byte, 12)},
				{Type: tracedattest.Extend, Delta: 5 << 27},
				{Delta: 7, Data: f.Record(&odd, 16, 1, 130, -2, 40000, "fifteen_bytes..", "relative", -1<<40), Long: true},
				{Type: tracedattest.Padding},
			}},
			{Stamp: 3_000_000_000, Missed: 5, Items: []item{
				tracedattest.Event(0, u(77, 66)),
				{Type: tracedattest.Stamp, Delta: 4_000_000_000},
				tracedattest.Event(3, u(12, 67)),
			}},
			{Stamp: 5_000_000_000, Missed: -1},
		},
		nil,
		{
			{Stamp: 1_000_001_500, Items: []item{tracedattest.Event(0, u(0, 1)), tracedattest.Event(0, f.Record(&tracedattest.Format{ID: 4000}, 0, 0, 1))}},
			{Stamp: 4_000_000_002, Missed: -1, Items: []item{tracedattest.Event(1, u(12, 2))}},
		},
	}
	return f
}

func f32(big bool, v byte) []byte {
	if big {
		return []byte{0, 0, 0, v}
	}
	return []byte{v, 0, 0, 0}
}

// wantSample are the sample's events, as line writes them.
var wantSample = []string{
	"1000000000 cpu0 kworker/0:1-12 9 2 evtchn:unmask __probe_ip=ffffffff81664d0a port=41",
	"1000001500 cpu0 <idle>-0 0 0 irq:irq_handler_entry irq=fffffffffffffffd name=\"timer0\"",
	"1000001500 cpu2 <idle>-0 9 2 evtchn:unmask __probe_ip=ffffffff81664d0a port=1",
	"1000001500 cpu2 <...>-1 0 0 :event-4000",
	"1671090247 cpu0 a b-130 10 1 ftrace:odd a=fffffffffffffffe b=9c40 comm=\"fifteen_bytes..\" s=\"relative\" c=ffffff0000000000",
	"3000000000 cpu0 lost 5 <...>-77 9 2 evtchn:unmask __probe_ip=ffffffff81664d0a port=42",
	"4000000003 cpu0 kworker/0:1-12 9 2 evtchn:unmask __probe_ip=ffffffff81664d0a port=43",
	"4000000003 cpu2 lost -1 kworker/0:1-12 9 2 evtchn:unmask __probe_ip=ffffffff81664d0a port=2",
	"4000000003 cpu0 lost -1",
}

// line writes an event.
func line(r *Reader, ev *Event) string {
	s := fmt.Sprintf("%d cpu%d", ev.Time, ev.CPU)
	if ev.Missed != 0 {
		s += fmt.Sprintf(" lost %d", ev.Missed)
	}
	if ev.Format == nil {
		return s
	}
	s += fmt.Sprintf(" %s-%d %x %d %s:%s", r.Comm(ev.PID), ev.PID, byte(ev.Flags), ev.Preempt, ev.Format.System, ev.Format.Name)
	for i := range ev.Format.Fields {
		f := &ev.Format.Fields[i]
		if len(f.Name) > 7 && f.Name[:7] == "common_" {
			continue
		}
		if v, ok := ev.Uint(f); ok {
			s += fmt.Sprintf(" %s=%x", f.Name, v)
		} else if b, ok := ev.Text(f); ok {
			s += fmt.Sprintf(" %s=%q", f.Name, b)
		} else {
			s += fmt.Sprintf(" %s=?", f.Name)
		}
	}
	return s
}

// all reads a file to its end. The errors that are not the end are of class ErrCorrupt.
func all(t testing.TB, b []byte) (lines []string, damage []error, err error) {
	t.Helper()
	r, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var ev Event
	for n := 0; ; n++ {
		if n > 2*len(b)+1000 {
			t.Fatalf("more than %d events and errors in %d bytes", n, len(b))
		}
		err := r.Next(&ev)
		switch {
		case err == nil:
			lines = append(lines, line(r, &ev))
		case errors.Is(err, ErrCorrupt):
			damage = append(damage, err)
		case errors.Is(err, io.EOF):
			return lines, damage, nil
		default:
			return lines, damage, err
		}
	}
}
