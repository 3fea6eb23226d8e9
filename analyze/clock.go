package analyze

import (
	"fmt"
	"math"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// clock converts the times of a trace into those of its report, and writes them.
type clock struct {
	factor float64 // nanoseconds per unit; 1: the trace counts nanoseconds, or ticks of a length that is not known
	ticks  bool    // the length of a tick is not known
}

func newClock(meta *evtchn.Meta) clock {
	c := clock{factor: 1}
	if meta.Unit == "ticks" {
		if f := meta.NsPerTick; f > 0 && f != 1 && !math.IsInf(f, 0) {
			c.factor = f
		} else {
			c.ticks = true
		}
	}
	return c
}

func (c clock) unit() string {
	if c.ticks {
		return "ticks"
	}
	return "ns"
}

// of gives a time or a duration in the report's unit.
func (c clock) of(t evtchn.Time) int64 {
	if c.factor == 1 {
		return int64(t)
	}
	return int64(math.Round(float64(t) * c.factor))
}

func (c clock) at(t evtchn.Time) *int64 {
	v := c.of(t)
	return &v
}

// when writes a moment, to the microsecond.
func (c clock) when(t evtchn.Time) string { return c.moment(c.of(t)) }

// span writes a duration, to three digits.
func (c clock) span(t evtchn.Time) string { return c.duration(c.of(t)) }

// moment writes a moment in the report's unit.
func (c clock) moment(v int64) string {
	switch {
	case c.ticks:
		return signed(v) + " ticks"
	case v < 1e9 && v > -1e9:
		return fmt.Sprintf("%.3f ms", float64(v)/1e6)
	}
	return fmt.Sprintf("%.6f s", float64(v)/1e9)
}

// signed writes a number with commas between thousands.
func signed(v int64) string {
	if v < 0 {
		return "-" + group(-uint64(v))
	}
	return group(uint64(v))
}

// duration writes a duration in the report's unit.
func (c clock) duration(v int64) string {
	switch {
	case c.ticks:
		return signed(v) + " ticks"
	case v < 1e3:
		return strconv.FormatInt(v, 10) + " ns"
	case v < 1e6:
		return digits(float64(v)/1e3) + " us"
	case v < 1e9:
		return digits(float64(v)/1e6) + " ms"
	}
	return digits(float64(v)/1e9) + " s"
}

// digits writes a number of at least 1 to three significant digits, and never in scientific notation.
func digits(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// Moment writes a moment of the report, to the microsecond.
func (t *TraceInfo) Moment(v int64) string { return t.clock().moment(v) }

// Span writes a length of time of the report, to three digits.
func (t *TraceInfo) Span(v int64) string { return t.clock().duration(v) }
