package xentrace

// counts counts records by id, by class and subclass, so that the few that there are take little memory.
type counts [len(classes)][16]*[1 << 12]uint64

func (c *counts) add(id ID) {
	p := &c[id.class()][id>>12&0xf]
	if *p == nil {
		*p = new([1 << 12]uint64)
	}
	(*p)[id&0xfff]++
}

// each goes through the counts in the order of ids.
func (c *counts) each(f func(id ID, n uint64)) {
	for class := range c {
		for sub, page := range c[class] {
			if page == nil {
				continue
			}
			for low, n := range page {
				if n > 0 {
					f(ID(1<<(16+class)|sub<<12|low), n)
				}
			}
		}
	}
}

// class reports whether there are records of a class.
func (c *counts) class(n int) bool {
	for _, page := range c[n] {
		if page != nil {
			return true
		}
	}
	return false
}
