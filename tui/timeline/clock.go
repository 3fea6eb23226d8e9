package timeline

import (
	"math"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// clock writes times of a trace. An amount is nanoseconds, or ticks where their length is not known.
type clock struct {
	scale float64 // amounts per unit of Event.Time
	bare  bool    // the amounts are ticks
	micro string
}

func clockOf(meta evtchn.Meta, g *glyphs) clock {
	c := clock{scale: 1, micro: g.micro}
	if meta.Unit == "ticks" {
		if meta.NsPerTick == 1 || !(meta.NsPerTick > 0) || math.IsInf(meta.NsPerTick, 0) {
			c.bare = true
		} else {
			c.scale = meta.NsPerTick
		}
	}
	return c
}

// step gives the round amount between the ticks of an axis that are to be so many cells apart.
func (c clock) step(span uint64, cols, apart int) int64 {
	least := float64(span) * c.scale * float64(apart) / float64(max(cols, 1))
	for p := 1.0; p < 1e18; p *= 10 {
		for _, f := range [...]float64{1, 2, 5} {
			if f*p >= least {
				return int64(f * p)
			}
		}
	}
	return math.MaxInt64
}

// offset gives where the i-th tick is, in units of Event.Time from the beginning; ok is false behind the end of time.
func (c clock) offset(step, i int64) (off uint64, ok bool) {
	f := float64(step) * float64(i) / c.scale
	if f >= 1<<63 {
		return 0, false
	}
	return uint64(math.Round(f)), true
}

var units = [...]struct {
	size float64
	name string
}{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}}

// amount writes a length of time as briefly as it can be exact, e.g. 1.2us.
func (c clock) amount(n int64) string {
	if c.bare {
		return strconv.FormatInt(n, 10)
	}
	for _, u := range units {
		if float64(n) >= u.size {
			return strconv.FormatFloat(float64(n)/u.size, 'f', -1, 64) + c.unit(u.name)
		}
	}
	return "0"
}

func (c clock) unit(name string) string { return strings.Replace(name, "u", c.micro, 1) }

// time writes a time on the trace's clock, in the unit and with the digits that fit a window of that many cells.
func (c clock) time(t evtchn.Time, span uint64, cols int) string {
	if c.bare {
		return strconv.FormatInt(int64(t), 10)
	}
	length := float64(span) * c.scale
	per := length / float64(max(cols, 1))
	v := float64(t) * c.scale
	for i, u := range units {
		if length < u.size && i < len(units)-1 {
			continue
		}
		digits := 0
		for s := u.size; digits < 9 && s > 1 && s > per; s /= 10 {
			digits++
		}
		if c.scale == 1 { // exact, beyond what a float64 holds
			return exact(int64(t), int64(u.size), digits) + c.unit(u.name)
		}
		return strconv.FormatFloat(v/u.size, 'f', digits, 64) + c.unit(u.name)
	}
	return ""
}

// full writes a time in the unit that fits the window, with all its digits.
func (c clock) full(t evtchn.Time, span uint64) string {
	s := c.time(t, span, math.MaxInt32)
	unit := strings.TrimLeft(s, "-.0123456789")
	s = strings.TrimSuffix(s, unit)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s + unit
}

// exact writes n/size with so many digits behind the point, cut off.
func exact(n, size int64, digits int) string {
	whole, rest := n/size, n%size
	s := strconv.FormatInt(whole, 10)
	if n < 0 {
		rest = -rest
		if whole == 0 {
			s = "-0"
		}
	}
	if digits == 0 || size == 1 {
		return s
	}
	frac := strconv.FormatInt(size+rest, 10)[1:]
	return s + "." + frac[:min(digits, len(frac))]
}
