package tracedattest

import (
	"fmt"
	"strings"
)

// Format is an event's layout.
type Format struct {
	System, Name string
	ID           int
	Fields       []Field // besides the common ones
}

// Field is a field of an event.
type Field struct {
	Decl   string // as in a format file: "u32 port", "char comm[16]", "__data_loc char[] name"
	Size   int
	Signed bool
}

// common is what stands in front of every event's own fields.
const common = 8

func (g *Format) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nID: %d\nformat:\n", g.Name, g.ID)
	b.WriteString("\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n" +
		"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n")
	at := common
	for _, f := range g.Fields {
		signed := 0
		if f.Signed {
			signed = 1
		}
		at = align(at, f.Size)
		fmt.Fprintf(&b, "\tfield:%s;\toffset:%d;\tsize:%d;\tsigned:%d;\n", f.Decl, at, f.Size, signed)
		at += f.Size
	}
	b.WriteString("\nprint fmt: \"-\"\n")
	return b.String()
}

// align gives the place of a field: numbers are aligned, arrays are not.
func align(at, size int) int {
	if size == 2 || size == 4 || size == 8 {
		return (at + size - 1) / size * size
	}
	return at
}

// Record gives an event's data. A value is an int, or a string for an array; that of a dynamic array goes to the end.
func (f *File) Record(g *Format, flags, preempt byte, pid int, values ...any) []byte {
	o := &out{f: f}
	o.u16(g.ID)
	o.raw([]byte{flags, preempt})
	o.u32(pid)
	end := common
	for _, fd := range g.Fields {
		end = align(end, fd.Size) + fd.Size
	}
	var tail []byte
	for i, fd := range g.Fields {
		o.b = append(o.b, make([]byte, align(len(o.b), fd.Size)-len(o.b))...)
		switch v := values[i].(type) {
		case string:
			if !strings.HasPrefix(fd.Decl, "__") {
				b := make([]byte, fd.Size)
				copy(b, v)
				o.raw(b)
				break
			}
			at := end + len(tail)
			if strings.HasPrefix(fd.Decl, "__rel_loc") {
				at -= len(o.b) + fd.Size
			}
			o.u32((len(v)+1)<<16 | at)
			tail = append(append(tail, v...), 0)
		case int:
			switch fd.Size {
			case 1:
				o.raw([]byte{byte(v)})
			case 2:
				o.u16(v)
			case 4:
				o.u32(v)
			case 8:
				o.u64(v)
			}
		}
	}
	o.raw(tail)
	return o.b
}
