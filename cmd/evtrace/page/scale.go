package page

import "math"

// logScale maps values on a logarithmic axis. Values below lo count as lo.
type logScale struct {
	lo, hi float64 // > 0
	at, to float64 // where they are
}

func newLogScale(lo, hi, at, to float64) logScale {
	lo = max(lo, 1e-12)
	if hi <= lo {
		hi = lo * 10
	}
	return logScale{lo, hi, at, to}
}

func (s logScale) pos(v float64) float64 {
	v = min(max(v, s.lo), s.hi)
	return s.at + (s.to-s.at)*(math.Log(v)-math.Log(s.lo))/(math.Log(s.hi)-math.Log(s.lo))
}

// decades are the powers of ten on the scale, at most about n of them.
func (s logScale) decades(n int) []float64 {
	first, last := int(math.Ceil(math.Log10(s.lo)-1e-9)), int(math.Floor(math.Log10(s.hi)+1e-9))
	step := max((last-first+n)/max(n, 1), 1)
	var list []float64
	for e := first; e <= last; e += step {
		list = append(list, math.Pow(10, float64(e)))
	}
	return list
}

// axisText writes a length of time of a power of ten.
func axisText(v float64, unit string) string {
	if unit == "ticks" {
		return group(int64(v))
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}} {
		if v >= u.size {
			return group(int64(math.Round(v/u.size))) + " " + u.name
		}
	}
	return group(int64(math.Round(v))) + " ns"
}
