package ftrace

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// ErrMap is the class of errors about maps of the user's own events.
var ErrMap = errors.New("bad map")

// Map says what an event of the user's own stands for, so that a capture with other probe names can be read.
type Map struct {
	Event  string     // its name in the capture, with or without the group ("mine:" or "mine/")
	Kind   string     // the record that it stands for, such as unmask: see Kinds
	Fields []FieldMap // the fields that go by other names than there
}

// FieldMap names a field.
type FieldMap struct {
	Field string // as the kind has it, such as port
	Name  string // as the capture has it, such as arg1
}

// String gives the spelling that ParseMap takes.
func (m Map) String() string {
	s := m.Event + "=" + m.Kind
	for i, f := range m.Fields {
		s += string(":,"[min(i, 1)]) + f.Field
		if f.Name != f.Field {
			s += "=" + f.Name
		}
	}
	return s
}

// Kinds lists the records that a Map can name, in the order of their names.
func Kinds() []string { return slices.Sorted(maps.Keys(probeByName)) }

// fieldNames are the fields that records have.
var fieldNames = [...]string{"port", "cpu", "vcpu", "irq", "vec", "old", "cmd", "a0", "a1", "ret", "bytes"}

// ParseMap reads EVENT=KIND or EVENT=KIND:FIELD,FIELD=NAME,...: the event stands for a record of that kind, whose FIELD the capture
// calls NAME. A field that is not named, or has no name of its own, goes by the kind's name for it. Errors are of class ErrMap.
func ParseMap(s string) (Map, error) {
	var m Map
	name, what, ok := strings.Cut(s, "=")
	if !ok {
		return m, fmt.Errorf("%w: %q: want EVENT=KIND:FIELD=NAME, such as my_unmask=unmask:port=arg1", ErrMap, s)
	}
	m.Event = strings.TrimSpace(name)
	if i := strings.LastIndexAny(m.Event, ":/"); i >= 0 {
		m.Event = m.Event[i+1:]
	}
	if !isName(m.Event) {
		return m, fmt.Errorf("%w: %q: the event is %q, want a name of letters, digits and _", ErrMap, s, m.Event)
	}
	kind, fields, some := strings.Cut(what, ":")
	m.Kind = strings.TrimSpace(kind)
	if _, ok := probeByName[m.Kind]; !ok {
		hint := evtchn.Suggest(m.Kind, Kinds())
		if hint == "" {
			hint = "; there are " + strings.Join(Kinds(), ", ")
		}
		return m, fmt.Errorf("%w: %q: no record is called %q%s", ErrMap, s, m.Kind, hint)
	}
	if !some {
		return m, nil
	}
	for f := range strings.SplitSeq(fields, ",") {
		ours, theirs, ok := strings.Cut(strings.TrimSpace(f), "=")
		if !ok {
			theirs = ours
		}
		if fieldOf(ours) == 0 {
			hint := evtchn.Suggest(ours, fieldNames[:])
			if fieldOf(theirs) != 0 {
				hint = fmt.Sprintf("; want FIELD=NAME: %s=%s?", theirs, ours)
			} else if hint == "" {
				hint = "; there are " + strings.Join(fieldNames[:], ", ")
			}
			return m, fmt.Errorf("%w: %q: no field is called %q%s", ErrMap, s, ours, hint)
		}
		if !isName(theirs) {
			return m, fmt.Errorf("%w: %q: %s is to be %q, want a name of letters, digits and _", ErrMap, s, ours, theirs)
		}
		if slices.ContainsFunc(m.Fields, func(o FieldMap) bool { return fieldOf(o.Field) == fieldOf(ours) }) {
			return m, fmt.Errorf("%w: %q: %s is named twice", ErrMap, s, ours)
		}
		m.Fields = append(m.Fields, FieldMap{ours, theirs})
	}
	return m, nil
}

// ParseMaps reads maps, one a line. A line that begins with # is a comment. Errors are of class ErrMap and name the line; the name
// is that of the file.
func ParseMaps(text, name string) ([]Map, error) {
	var ms []Map
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		m, err := ParseMap(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// isName reports whether s can be the name of an event or a field in tracefs.
func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func isNameByte(c byte) bool {
	return isDigit(c) || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// spec gives what a map means.
func (m *Map) spec() probeSpec {
	s := probeByName[m.Kind]
	s.kind = m.Kind
	for _, f := range m.Fields {
		s.fields = append(s.fields, fieldSpec{f.Name, fieldOf(f.Field)})
	}
	return s
}

// addMaps makes the maps' events known under their names.
func (ns *names) addMaps(ms []Map) error {
	for i := range ms {
		m := &ms[i]
		if _, dup := ns.maps[m.Event]; dup {
			return fmt.Errorf("%w: %s is mapped twice", ErrMap, m.Event)
		}
		if ns.maps == nil {
			ns.maps = make(map[string]probeSpec)
		}
		ns.maps[m.Event] = m.spec()
	}
	return nil
}

// unmet lists the maps' events of which there was no record, and the maps by which no record of their event could be read. Only a capture
// with broken records has such.
func (ns *names) unmet(ms []Map, broken bool) (missing, unread []string) {
	for _, m := range ms {
		switch i, ok := ns.m[m.Event]; {
		case ok && ns.count[i] > 0:
		case ok && broken:
			unread = append(unread, m.String())
		default:
			missing = append(missing, m.Event)
		}
	}
	return missing, unread
}
