package tracedattest

// Page is a page of the ring buffer.
type Page struct {
	Stamp  uint64 // its time
	Missed int64  // events that were lost before it; -1: some
	Items  []Item
	Commit int // if not 0, what the page says of its size
}

// Item is an event of the ring buffer, of any type.
type Item struct {
	Type  int // 0: data
	Delta uint64
	Data  []byte
	Long  bool // data whose length is in a word of its own
}

// The types of items that are not data.
const (
	Padding = 29 // with Delta 0: the rest of the page; else Data are what was taken back
	Extend  = 30
	Stamp   = 31 // Delta is the time itself
)

// Event is an item with data.
func Event(delta uint64, data []byte) Item { return Item{Delta: delta, Data: data} }

// size is what the item takes of a page.
func (it *Item) size() int {
	n := (len(it.Data) + 3) &^ 3
	switch {
	case it.Type == Extend || it.Type == Stamp:
		return 8
	case it.Type == Padding && it.Delta == 0:
		return 4
	case it.Type == Padding || it.Long || n == 0 || n > 28*4:
		return 8 + n
	}
	return 4 + n
}

func (o *out) head(typ int, delta uint64) {
	d := int(delta & (1<<27 - 1))
	if o.f.Big {
		o.u32(typ<<27 | d)
	} else {
		o.u32(d<<5 | typ)
	}
}

func (o *out) item(it *Item) {
	n := (len(it.Data) + 3) &^ 3
	pad := make([]byte, n-len(it.Data))
	switch {
	case it.Type == Extend || it.Type == Stamp:
		o.head(it.Type, it.Delta)
		o.u32(int(it.Delta >> 27))
	case it.Type == Padding && it.Delta == 0:
		o.head(Padding, 0)
	case it.Type == Padding:
		o.head(Padding, it.Delta)
		o.u32(n + 4)
		o.raw(it.Data)
		o.raw(pad)
	case it.Long || n == 0 || n > 28*4:
		o.head(0, it.Delta)
		o.u32(n + 4)
		o.raw(it.Data)
		o.raw(pad)
	default:
		o.head(n/4, it.Delta)
		o.raw(it.Data)
		o.raw(pad)
	}
}

// page writes a page.
func (o *out) page(p *Page) {
	f := o.f
	body := f.sub(func(o *out) {
		for i := range p.Items {
			o.item(&p.Items[i])
		}
	})
	commit := len(body)
	if p.Commit != 0 {
		commit = p.Commit
	}
	if p.Missed != 0 {
		commit |= 1 << 31
		if p.Missed > 0 && 8+f.Long+len(body)+f.Long <= f.PageSize {
			commit |= 1 << 30
			body = append(body, f.sub(func(o *out) { o.long(int(p.Missed)) })...)
		}
	}
	at := len(o.b)
	o.u64(int(p.Stamp))
	o.long(commit)
	o.raw(body)
	if n := len(o.b) - at; n <= f.PageSize {
		o.raw(make([]byte, f.PageSize-n))
	} else {
		o.b = o.b[:at+f.PageSize]
	}
}

func (o *out) long(v int) {
	if o.f.Long == 4 {
		o.u32(v)
	} else {
		o.u64(v)
	}
}

// Packer fills pages as the kernel does.
type Packer struct {
	f    *File
	cpus []packed
}

type packed struct {
	pages  []Page
	room   int
	time   uint64
	missed int64
}

// NewPacker begins to fill the pages of a file's cpus.
func NewPacker(f *File, cpus int) *Packer { return &Packer{f, make([]packed, cpus)} }

// Lose says that events of a cpu are lost here, or, if n is -1, an unknown number.
func (p *Packer) Lose(cpu int, n int64) {
	c := &p.cpus[cpu]
	c.missed, c.room = n, 0
}

// Add adds an event of a cpu.
func (p *Packer) Add(cpu int, time uint64, data []byte) {
	c := &p.cpus[cpu]
	it := Event(time-c.time, data)
	need := it.size()
	if it.Delta >= 1<<27 {
		need += 8
	}
	if need > c.room {
		c.room = p.f.PageSize - 8 - p.f.Long
		if c.missed > 0 {
			c.room -= p.f.Long // for the number
		}
		c.pages = append(c.pages, Page{Stamp: time, Missed: c.missed})
		c.missed = 0
		it.Delta = 0
	}
	pg := &c.pages[len(c.pages)-1]
	if it.Delta >= 1<<27 {
		ext := Item{Type: Extend, Delta: it.Delta}
		pg.Items = append(pg.Items, ext)
		c.room -= ext.size()
		it.Delta = 0
	}
	pg.Items = append(pg.Items, it)
	c.room -= it.size()
	c.time = time
}

// Done puts the pages into the file.
func (p *Packer) Done() {
	for i := range p.cpus {
		p.f.CPUs = append(p.f.CPUs, p.cpus[i].pages)
	}
}
