package tracedattest

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// File is what a file is to hold.
type File struct {
	Version  int    // 6 or 7
	Big      bool   // the byte order is big endian
	Long     int    // size of the kernel's long: 4 or 8
	PageSize int    // a power of 2
	Packing  string // of version 7: none, zstd or zlib
	Chunk    int    // pages in a packed chunk; 0: 2

	Formats []Format
	Comms   string // as in tracefs' saved_cmdlines
	Symbols string // as in /proc/kallsyms
	Options []Option
	Clock   string // contents of tracefs' trace_clock
	CPUs    [][]Page
	Others  []Instance // of version 7
	Text    string     // instead of CPUs: the contents of tracefs' trace
}

// Instance is a further instance of the ring buffer.
type Instance struct {
	Name string
	CPUs [][]Page
}

// Option is an option of the header.
type Option struct {
	ID   uint16
	Data []byte
}

// out is a file in the making.
type out struct {
	f *File
	b []byte
}

func (f *File) order() interface {
	binary.ByteOrder
	binary.AppendByteOrder
} {
	if f.Big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (o *out) u16(v int)       { o.b = o.f.order().AppendUint16(o.b, uint16(v)) }
func (o *out) u32(v int)       { o.b = o.f.order().AppendUint32(o.b, uint32(v)) }
func (o *out) u64(v int)       { o.b = o.f.order().AppendUint64(o.b, uint64(v)) }
func (o *out) str(s string)    { o.b = append(append(o.b, s...), 0) }
func (o *out) raw(b []byte)    { o.b = append(o.b, b...) }
func (o *out) align(n int)     { o.b = append(o.b, make([]byte, (n-len(o.b)%n)%n)...) }
func (o *out) put64(at, v int) { o.f.order().PutUint64(o.b[at:], uint64(v)) }

// sub makes a piece by itself.
func (f *File) sub(write func(*out)) []byte {
	o := &out{f: f}
	write(o)
	return o.b
}

// Bytes gives the file.
func (f *File) Bytes() []byte {
	o := &out{f: f}
	o.raw([]byte{0x17, 0x08, 0x44})
	o.raw([]byte("tracing"))
	o.str(fmt.Sprint(f.Version))
	if f.Big {
		o.raw([]byte{1})
	} else {
		o.raw([]byte{0})
	}
	o.raw([]byte{8}) // user space may be of another size than the kernel
	o.u32(f.PageSize)
	if f.Version == 6 {
		o.version6()
	} else {
		o.version7()
	}
	return o.b
}

func (f *File) headers(o *out) {
	data := 8 + f.Long
	page := fmt.Sprintf("\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:%d;\tsigned:1;\n"+
		"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\tfield: char data;\toffset:%d;\tsize:%d;\tsigned:1;\n", f.Long, data, f.PageSize-data)
	event := "# compressed entry header\n\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n\tarray       :   32 bits\n\n" +
		"\tpadding     : type == 29\n\ttime_extend : type == 30\n\ttime_stamp : type == 31\n\tdata max type_len  == 28\n"
	o.str("header_page")
	o.u64(len(page))
	o.raw([]byte(page))
	o.str("header_event")
	o.u64(len(event))
	o.raw([]byte(event))
}

// ftrace writes the formats of ftrace's own events.
func (f *File) ftrace(o *out) {
	o.u32(f.count("ftrace"))
	f.formats(o, "ftrace")
}

func (f *File) count(system string) (n int) {
	for i := range f.Formats {
		if f.Formats[i].System == system {
			n++
		}
	}
	return n
}

func (f *File) formats(o *out, system string) {
	for i := range f.Formats {
		if g := &f.Formats[i]; g.System == system {
			text := g.text()
			o.u64(len(text))
			o.raw([]byte(text))
		}
	}
}

func (f *File) systems(o *out) {
	var names []string
	seen := map[string]bool{"ftrace": true}
	for i := range f.Formats {
		if s := f.Formats[i].System; !seen[s] {
			seen[s] = true
			names = append(names, s)
		}
	}
	o.u32(len(names))
	for _, s := range names {
		o.str(s)
		o.u32(f.count(s))
		f.formats(o, s)
	}
}

func (f *File) symbols(o *out) {
	o.u32(len(f.Symbols))
	o.raw([]byte(f.Symbols))
}

func (f *File) printk(o *out) { o.u32(0) }

func (f *File) comms(o *out) {
	o.u64(len(f.Comms))
	o.raw([]byte(f.Comms))
}

// version6 writes everything in one sequence.
func (o *out) version6() {
	f := o.f
	f.headers(o)
	f.ftrace(o)
	f.systems(o)
	f.symbols(o)
	f.printk(o)
	f.comms(o)
	o.u32(len(f.CPUs))
	o.str("options  ")
	for _, opt := range f.Options {
		o.u16(int(opt.ID))
		o.u32(len(opt.Data))
		o.raw(opt.Data)
	}
	if f.Clock != "" {
		o.u16(4)
		o.u32(0)
	}
	o.u16(0)
	if f.Text != "" {
		o.str("latency  ")
		o.raw([]byte(f.Text))
		return
	}
	o.str("flyrecord")
	table := len(o.b)
	o.raw(make([]byte, 16*len(f.CPUs)))
	if f.Clock != "" {
		o.u64(len(f.Clock))
		o.raw([]byte(f.Clock))
	}
	for i, pages := range f.CPUs {
		o.align(f.PageSize)
		o.put64(table+16*i, len(o.b))
		at := len(o.b)
		for j := range pages {
			o.page(&pages[j])
		}
		o.put64(table+16*i+8, len(o.b)-at)
	}
}

// version7 writes sections, and options before and behind the data.
func (o *out) version7() {
	f := o.f
	o.str(f.Packing)
	o.str("1.0")
	first := len(o.b)
	o.u64(0)
	var opts []byte
	section := func(id int, write func(*out)) {
		at := o.section(id, f.sub(write))
		opts = append(opts, f.sub(func(o *out) {
			o.u16(id)
			o.u32(8)
			o.u64(at)
		})...)
	}
	section(16, f.headers)
	section(17, f.ftrace)
	section(18, f.systems)
	section(19, f.symbols)
	section(20, f.printk)
	section(21, f.comms)
	for _, opt := range f.Options {
		opts = append(opts, f.sub(func(o *out) {
			o.u16(int(opt.ID))
			o.u32(len(opt.Data))
			o.raw(opt.Data)
		})...)
	}
	o.put64(first, len(o.b))
	next := o.options(opts)
	var bufs []byte
	if f.Text != "" {
		bufs = append(bufs, o.textBuffer()...)
	}
	if f.Text == "" || f.CPUs != nil {
		bufs = append(bufs, o.buffer("", f.CPUs)...)
	}
	for _, in := range f.Others {
		bufs = append(bufs, o.buffer(in.Name, in.CPUs)...)
	}
	o.put64(next, len(o.b))
	o.options(bufs)
}

// options writes a section of options, and gives the place of the place of the next.
func (o *out) options(opts []byte) int {
	o.u16(0)
	o.u16(0)
	o.u32(0)
	o.u64(len(opts) + 14)
	o.raw(opts)
	o.u16(0)
	o.u32(8)
	o.u64(0)
	return len(o.b) - 8
}

// section writes a section, packed if the file is, and gives its place.
func (o *out) section(id int, b []byte) int {
	at := len(o.b)
	packed := o.f.packing()
	o.u16(id)
	if packed {
		o.u16(1)
	} else {
		o.u16(0)
	}
	o.u32(0)
	if packed {
		z := o.f.pack(b)
		o.u64(len(z) + 8)
		o.u32(len(z))
		o.u32(len(b))
		o.raw(z)
	} else {
		o.u64(len(b))
		o.raw(b)
	}
	return at
}

// buffer writes the data of an instance, and gives its option.
func (o *out) buffer(name string, cpus [][]Page) []byte {
	f := o.f
	start := len(o.b)
	o.u16(3)
	if f.packing() {
		o.u16(1)
	} else {
		o.u16(0)
	}
	o.u32(0)
	size := len(o.b)
	o.u64(0)
	opt := &out{f: f}
	opt.u64(start)
	opt.str(name)
	opt.str("mono")
	opt.u32(f.PageSize)
	opt.u32(len(cpus))
	for i, pages := range cpus {
		o.align(f.PageSize)
		at := len(o.b)
		data := f.sub(func(o *out) {
			for j := range pages {
				o.page(&pages[j])
			}
		})
		n := len(data)
		if f.packing() {
			n = o.chunks(data)
		} else {
			o.raw(data)
		}
		opt.u32(i)
		opt.u64(at)
		opt.u64(n)
	}
	o.put64(size, len(o.b)-size-8)
	return f.sub(func(o *out) {
		o.u16(3)
		o.u32(len(opt.b))
		o.raw(opt.b)
	})
}

func (o *out) textBuffer() []byte {
	f := o.f
	start := len(o.b)
	o.u16(22)
	if f.packing() {
		o.u16(1)
	} else {
		o.u16(0)
	}
	o.u32(0)
	size := len(o.b)
	o.u64(0)
	if f.packing() {
		o.chunks([]byte(f.Text))
	} else {
		o.raw([]byte(f.Text))
	}
	o.put64(size, len(o.b)-size-8)
	opt := f.sub(func(o *out) {
		o.u64(start)
		o.str("")
		o.str("mono")
	})
	return f.sub(func(o *out) {
		o.u16(22)
		o.u32(len(opt))
		o.raw(opt)
	})
}

// chunks writes packed chunks, and gives the size that trace-cmd writes into the option: all but the number of chunks.
func (o *out) chunks(data []byte) int {
	f := o.f
	n := f.Chunk
	if n == 0 {
		n = 2
	}
	n *= f.PageSize
	if len(data) == 0 {
		return 0
	}
	o.u32((len(data) + n - 1) / n)
	at := len(o.b)
	for len(data) > 0 {
		part := data[:min(n, len(data))]
		data = data[len(part):]
		z := f.pack(part)
		o.u32(len(z))
		o.u32(len(part))
		o.raw(z)
	}
	return len(o.b) - at
}

func (f *File) packing() bool { return f.Packing == "zstd" || f.Packing == "zlib" }

func (f *File) pack(b []byte) []byte {
	if f.Packing == "zlib" {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		_, _ = w.Write(b) // a buffer takes everything
		_ = w.Close()
		return z.Bytes()
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // no option can be wrong
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}
