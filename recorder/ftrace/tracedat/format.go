package tracedat

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Format is the layout of an event, from its format file in tracefs.
type Format struct {
	ID     int
	System string // the directory of the format file, such as kprobes' group; "ftrace" for ftrace's own events
	Name   string
	Fields []Field // in the file's order, the common ones first

	flags, preempt, pid *Field
}

// Field is a field of an event.
type Field struct {
	Name   string
	Type   string // as C writes it, without the name
	Offset int    // in the event, in bytes
	Size   int    // in bytes; 0 for an array that takes the rest of the event
	Signed bool
	Array  bool // its value is bytes, not a number
	loc    loc
}

// loc says where the bytes of an array are.
type loc uint8

const (
	locHere loc = iota
	locData     // __data_loc: the field is their length and place in the event
	locRel      // __rel_loc: the same, from the end of the field on
)

// Field gives the field of that name, or nil.
func (f *Format) Field(name string) *Field {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// parseFormat reads a format file.
func parseFormat(system string, text []byte) (*Format, error) {
	f := &Format{System: system, ID: -1}
	for line := range bytes.Lines(text) {
		s := strings.TrimSpace(string(line))
		if v, ok := strings.CutPrefix(s, "name:"); ok {
			f.Name = strings.TrimSpace(v)
		} else if v, ok := strings.CutPrefix(s, "ID:"); ok {
			id, err := strconv.ParseUint(strings.TrimSpace(v), 10, 16)
			if err != nil {
				return nil, fmt.Errorf("format of %q: ID: got %q, want a number below 65536", f.Name, strings.TrimSpace(v))
			}
			f.ID = int(id)
		} else if strings.HasPrefix(s, "field:") {
			field, err := parseField(s)
			if err != nil {
				return nil, fmt.Errorf("format of %q: %w", f.Name, err)
			}
			f.Fields = append(f.Fields, field)
		} else if strings.HasPrefix(s, "print fmt:") {
			break // what follows may look like anything
		}
	}
	if f.Name == "" || f.ID < 0 {
		return nil, fmt.Errorf("format of %q: it has no name or no ID", f.Name)
	}
	f.flags, f.preempt, f.pid = f.Field("common_flags"), f.Field("common_preempt_count"), f.Field("common_pid")
	return f, nil
}

// parseField reads "field:__data_loc char[] name;	offset:12;	size:4;	signed:0;".
func parseField(s string) (Field, error) {
	var f Field
	decl, rest, _ := strings.Cut(strings.TrimPrefix(s, "field:"), ";")
	decl = strings.TrimSpace(decl)
	for part := range strings.SplitSeq(rest, ";") {
		key, v, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(v, 10, 20)
		switch key {
		case "offset":
			f.Offset = int(n)
		case "size":
			f.Size = int(n)
		case "signed":
			f.Signed = n != 0
		default:
			err = nil
		}
		if err != nil {
			return f, fmt.Errorf("field %q: %s: got %q, want a number below 1048576", decl, key, v)
		}
	}
	// The name is the last word, in front of the length of an array.
	name := decl
	if strings.HasSuffix(name, "]") {
		name = strings.TrimSpace(name[:strings.LastIndexByte(name, '[')+1])
		name = strings.TrimSpace(strings.TrimSuffix(name, "["))
		f.Array = true
	}
	f.Type = ""
	if i := strings.LastIndexAny(name, " *\t"); i >= 0 {
		f.Type, name = strings.TrimSpace(name[:i+1]), name[i+1:]
	}
	if name == "" {
		return f, fmt.Errorf("field %q: it has no name", decl)
	}
	f.Name = name
	switch {
	case strings.HasPrefix(f.Type, "__data_loc "):
		f.loc, f.Array = locData, true
	case strings.HasPrefix(f.Type, "__rel_loc "):
		f.loc, f.Array = locRel, true
	}
	return f, nil
}

// layout is that of a page of the ring buffer, from tracefs' events/header_page.
type layout struct {
	stamp, commit, data Field
}

func parseLayout(text []byte) (layout, error) {
	var l layout
	for line := range bytes.Lines(text) {
		s := strings.TrimSpace(string(line))
		if !strings.HasPrefix(s, "field:") {
			continue
		}
		f, err := parseField(s)
		if err != nil {
			return l, err
		}
		switch f.Name {
		case "timestamp":
			l.stamp = f
		case "commit":
			l.commit = f
		case "data":
			l.data = f
		}
	}
	switch {
	case l.stamp.Size != 8:
		return l, fmt.Errorf("timestamp: got %d bytes, want 8", l.stamp.Size)
	case l.commit.Size != 4 && l.commit.Size != 8:
		return l, fmt.Errorf("commit: got %d bytes, want 4 or 8", l.commit.Size)
	case l.data.Size == 0 || l.data.Offset < l.stamp.Offset+l.stamp.Size || l.data.Offset < l.commit.Offset+l.commit.Size || l.data.Offset > 64:
		return l, fmt.Errorf("data: got offset %d, want one behind timestamp and commit, at most 64", l.data.Offset)
	}
	return l, nil
}

// checkEvents compares tracefs' events/header_event with what this package knows of the ring buffer's events.
func checkEvents(text []byte) error {
	want := map[string]string{"type_len": "5 bits", "time_delta": "27 bits", "padding": "type == 29", "time_extend": "type == 30", "data max type_len": "== 28"}
	for line := range bytes.Lines(text) {
		key, v, ok := strings.Cut(string(line), ":")
		if !ok {
			key, v, ok = strings.Cut(string(line), "  ==")
			v = "==" + v
		}
		key, v = strings.TrimSpace(key), strings.TrimSpace(v)
		if w, known := want[key]; ok && known && w != v {
			return fmt.Errorf("%s: got %q, want %q", key, v, w)
		}
	}
	return nil
}
