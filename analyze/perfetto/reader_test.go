package perfetto

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// story is what a small reader, which shares no code with the writer, makes of a trace.
type story struct {
	text     strings.Builder
	packets  uint64
	begins   uint64
	begun    map[string]uint64 // slices by name
	handlers uint64
	counters map[string]int64 // last values by track
	findings int
	ended    uint64 // flows that end
	dangling int    // of those, without a beginning
}

// field is one field of a message: a number, or bytes.
type field struct {
	n protowire.Number
	v uint64
	b []byte
}

func fields(b []byte) ([]field, error) {
	var list []field
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		f := field{n: num}
		switch typ {
		case protowire.VarintType:
			f.v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.v, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		default:
			return nil, fmt.Errorf("field %d is of wire type %d", num, typ)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		list = append(list, f)
	}
	return list, nil
}

// event is a track event with the names put in.
type event struct {
	at, typ, track, iid uint64
	name                string
	value               int64
	flows, last         []uint64
	notes               []string
}

// read reads a trace, writes it as text, and checks it: tracks and names are known before they are used, slices nest, and times of a
// sequence do not go back.
func read(data []byte) (*story, error) {
	s := &story{begun: make(map[string]uint64), counters: make(map[string]int64)}
	names := make(map[uint64]string)
	tracks := make(map[uint64]string)
	open := make(map[uint64][]string)
	flows := make(map[uint64]bool)
	last := make(map[uint64]uint64)
	packets, err := fields(data)
	if err != nil {
		return nil, err
	}
	for _, p := range packets {
		if p.n != 1 {
			return nil, fmt.Errorf("field %d of the trace, want packets only", p.n)
		}
		s.packets++
		fs, err := fields(p.b)
		if err != nil {
			return nil, err
		}
		var e *event
		var at, seq, flags uint64
		for _, f := range fs {
			switch f.n {
			case 8:
				at = f.v
			case 10:
				seq = f.v
			case 13:
				flags = f.v
			case 11:
				if e, err = readEvent(f.b); err != nil {
					return nil, err
				}
			case 12:
				err = readNames(f.b, names)
			case 60:
				err = s.readTrack(f.b, tracks)
			default:
				err = fmt.Errorf("field %d of a packet", f.n)
			}
			if err != nil {
				return nil, err
			}
		}
		if s.packets == 1 && seq == 1 && flags != 3 || s.packets > 1 && seq == 1 && flags != 2 || seq != 1 && seq != 2 {
			return nil, fmt.Errorf("packet %d: flags %d in sequence %d", s.packets, flags, seq)
		}
		if e == nil {
			continue
		}
		if seq == 1 && at < last[seq] {
			return nil, fmt.Errorf("packet %d: time %d after %d", s.packets, at, last[seq])
		}
		last[seq], e.at = at, at
		if e.iid != 0 {
			name, ok := names[e.iid]
			if !ok {
				return nil, fmt.Errorf("packet %d: name %d is not known", s.packets, e.iid)
			}
			e.name = name
		}
		track, ok := tracks[e.track]
		if !ok {
			return nil, fmt.Errorf("packet %d: track %d is not known", s.packets, e.track)
		}
		stack := open[e.track]
		switch e.typ {
		case 1:
			s.begins++
			s.begun[e.name]++
			if strings.HasPrefix(e.name, "port ") {
				s.handlers++
			}
			open[e.track] = append(stack, e.name)
		case 2:
			if len(stack) == 0 {
				return nil, fmt.Errorf("packet %d: the end of a slice that has not begun, on %s", s.packets, track)
			}
			e.name = stack[len(stack)-1]
			open[e.track] = stack[:len(stack)-1]
		case 3:
			if track == "findings" {
				s.findings++
			}
		case 4:
			s.counters[track] = e.value
		default:
			return nil, fmt.Errorf("packet %d: type %d", s.packets, e.typ)
		}
		for _, id := range e.flows {
			flows[id] = true
		}
		for _, id := range e.last {
			s.ended++
			if !flows[id] {
				s.dangling++
			}
		}
		s.write(e, track, len(open[e.track]))
	}
	return s, nil
}

func (s *story) write(e *event, track string, depth int) {
	fmt.Fprintf(&s.text, "%d %s: %s", e.at, track, [...]string{"", "begin", "end", "instant", "counter"}[e.typ])
	if e.name != "" {
		fmt.Fprintf(&s.text, " %q", e.name)
	}
	if e.typ == 4 {
		fmt.Fprintf(&s.text, " %d", e.value)
	} else {
		fmt.Fprintf(&s.text, " depth=%d", depth)
	}
	for _, id := range e.flows {
		fmt.Fprintf(&s.text, " flow=%d", id)
	}
	for _, id := range e.last {
		fmt.Fprintf(&s.text, " flow-ends=%d", id)
	}
	for _, n := range e.notes {
		fmt.Fprintf(&s.text, " %s", n)
	}
	s.text.WriteByte('\n')
}

func readEvent(b []byte) (*event, error) {
	fs, err := fields(b)
	if err != nil {
		return nil, err
	}
	e := &event{}
	for _, f := range fs {
		switch f.n {
		case 4:
			note, err := readNote(f.b)
			if err != nil {
				return nil, err
			}
			e.notes = append(e.notes, note)
		case 9:
			e.typ = f.v
		case 10:
			e.iid = f.v
		case 11:
			e.track = f.v
		case 23:
			e.name = string(f.b)
		case 30:
			e.value = int64(f.v)
		case 47:
			e.flows = append(e.flows, f.v)
		case 48:
			e.last = append(e.last, f.v)
		default:
			return nil, fmt.Errorf("field %d of an event", f.n)
		}
	}
	return e, nil
}

func readNote(b []byte) (string, error) {
	fs, err := fields(b)
	if err != nil {
		return "", err
	}
	var name, value string
	for _, f := range fs {
		switch f.n {
		case 10:
			name = string(f.b)
		case 3:
			value = fmt.Sprint(f.v)
		case 4:
			value = fmt.Sprint(int64(f.v))
		case 6:
			value = fmt.Sprintf("%q", f.b)
		default:
			return "", fmt.Errorf("field %d of an annotation", f.n)
		}
	}
	return name + "=" + value, nil
}

func readNames(b []byte, names map[uint64]string) error {
	fs, err := fields(b)
	if err != nil {
		return err
	}
	for _, f := range fs {
		if f.n != 2 {
			return fmt.Errorf("field %d of interned data", f.n)
		}
		es, err := fields(f.b)
		if err != nil {
			return err
		}
		if len(es) != 2 || es[0].n != 1 || es[1].n != 2 || names[es[0].v] != "" || len(es[1].b) == 0 {
			return fmt.Errorf("an interned name %v, known are %v", es, slices.Sorted(maps.Values(names)))
		}
		names[es[0].v] = string(es[1].b)
	}
	return nil
}

func (s *story) readTrack(b []byte, tracks map[uint64]string) error {
	fs, err := fields(b)
	if err != nil {
		return err
	}
	var uuid, parent uint64
	var name, counter string
	for _, f := range fs {
		switch f.n {
		case 1:
			uuid = f.v
		case 2:
			name = string(f.b)
		case 5:
			parent = f.v
		case 8:
			counter = " counter"
		default:
			return fmt.Errorf("field %d of a track", f.n)
		}
	}
	if uuid == 0 || name == "" || tracks[uuid] != "" || parent != 0 && tracks[parent] == "" {
		return fmt.Errorf("track %d %q below %d", uuid, name, parent)
	}
	tracks[uuid] = name
	fmt.Fprintf(&s.text, "track %d %q below %d%s\n", uuid, name, parent, counter)
	return nil
}
