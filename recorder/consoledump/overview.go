package consoledump

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// overview is what must be known of a text before its first dump can become an event.
type overview struct {
	sum      Summary
	domains  map[int]*extent
	guests   int // answers of guests
	tables   int // lsevtchn's
	homeless int // dumps of which the domain is not said
}

// extent is what the dumps of a domain take.
type extent struct {
	dumps, presses int // of both keys; of key e
	abi            string
	others         int // dumps of the other ABI
	vcpus          int
	bits           int // of an event word, where said
	clocks         map[dump.Clock]int
}

// survey reads a text to its end.
func survey(r io.Reader, name string, opt Options) (*overview, error) {
	rd := NewReader(r, name, opt)
	o := &overview{domains: map[int]*extent{}}
	var guests []*dump.Dump
	for {
		d, err := rd.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		switch {
		case d.Source == dump.Lsevtchn:
			o.tables++
			continue
		case d.Source == dump.Guest:
			if o.guests++; len(guests) < evtchn.MaxVCPUs {
				guests = append(guests, d)
			}
			continue
		case d.Domain == dump.NoDomain:
			o.homeless++
			continue
		}
		o.extent(d.Domain).add(d)
	}
	for _, d := range guests {
		if dom, ok := o.guestDomain(d); ok {
			o.extent(dom).addVCPUs(d)
		}
	}
	o.sum = rd.Summary()
	return o, nil
}

func (o *overview) extent(dom int) *extent {
	if o.domains[dom] == nil {
		o.domains[dom] = &extent{clocks: map[dump.Clock]int{}}
	}
	return o.domains[dom]
}

// guestDomain is the domain of a guest's answer: the one that its lines name, else the control domain, whose kernel's messages stand on
// Xen's console by themselves.
func (o *overview) guestDomain(d *dump.Dump) (int, bool) {
	if d.Domain != dump.NoDomain {
		return d.Domain, true
	}
	_, ok := o.domains[0]
	return 0, ok
}

func (x *extent) add(d *dump.Dump) {
	x.dumps++
	x.clocks[d.Time.Clock]++
	if d.Source == dump.KeyE {
		x.presses++
		switch abi := d.Format.ABI(); {
		case abi == "":
		case x.abi == "":
			x.abi = abi
		case x.abi != abi:
			x.others++
		}
		for i := range d.Ports {
			x.vcpus = max(x.vcpus, int(d.Ports[i].Notify)+1)
		}
		for _, v := range d.Pollers {
			x.vcpus = max(x.vcpus, int(v)+1)
		}
	}
	x.addVCPUs(d)
}

func (x *extent) addVCPUs(d *dump.Dump) {
	for i := range d.VCPUs {
		x.vcpus = max(x.vcpus, int(d.VCPUs[i].ID)+1)
	}
	x.bits = max(x.bits, d.WordBits)
}

// clock is the clock that all dumps of the domain have, or ClockNone.
func (x *extent) clock() dump.Clock {
	for c := range x.clocks {
		if len(x.clocks) == 1 && c != dump.ClockCounter {
			return c
		}
	}
	return dump.ClockNone
}

// list names the domains.
func (o *overview) list() string {
	var ids []int
	for id := range o.domains {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var parts []string
	for _, id := range ids {
		parts = append(parts, fmt.Sprintf("%d (%s)", id, count(o.domains[id].dumps, "dump")))
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
