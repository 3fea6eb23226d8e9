package compare

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mostPorts is how many ports the text lists.
const mostPorts = 20

// WriteText writes the comparison for a reader. Lines have at most 100 columns, as long as names are not longer than that. Errors are
// those of w.
func (c *Comparison) WriteText(w io.Writer) error {
	var b strings.Builder
	for i, s := range []*Side{&c.A, &c.B} {
		under := ""
		if s.Policy != "" {
			under = " under " + s.Policy
		}
		fmt.Fprintf(&b, "%c  %s%s: %s, %s events\n", 'A'+i, short(s.Name, 50), short(under, 30), s.Verdict, group(s.Events))
	}
	b.WriteString("\n")
	switch {
	case c.Aligned.A+c.Aligned.B == 0:
		fmt.Fprintf(&b, "The two are the same, all %s events.\n", group(c.Aligned.Both))
	case !c.Inputs.Shared:
		fmt.Fprintf(&b, "They are not two runs of the same inputs: of %s and %s, %s are in both. So no event is laid\nbeside another; the numbers speak of the whole of each.\n",
			group(c.Inputs.A), group(c.Inputs.B), group(c.Inputs.Both))
	default:
		fmt.Fprintf(&b, "%s events happen in both at the same time, %s in A alone, %s in B alone.\nOf what came from outside, %s of A's and %s of B's, they share %s.\n", group(c.Aligned.Both), group(c.Aligned.A),
			group(c.Aligned.B), group(c.Inputs.A), group(c.Inputs.B), group(c.Inputs.Both))
	}
	if d := c.Departure; d != nil && c.Inputs.Shared {
		fmt.Fprintf(&b, "\nThey part at %s, at event %s of A: %s\n", moment(d.Time, c.A.Unit), group(uint64(d.Seq)), short(d.Words, 100))
		fmt.Fprintf(&b, "  A  %s\n  B  %s\n", short(d.A, 95), short(d.B, 95))
	}
	c.writePorts(&b)
	c.writeNumbers(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Comparison) writePorts(b *strings.Builder) {
	var list []*Port
	for i := range c.Ports {
		if c.Ports[i].differs() {
			list = append(list, &c.Ports[i])
		}
	}
	slices.SortStableFunc(list, func(p, q *Port) int { return cmp.Compare(q.weight(), p.weight()) })
	if len(list) == 0 {
		fmt.Fprintf(b, "\nNo port was delivered more or less often, or found otherwise, of %s.\n", group(uint64(len(c.Ports))))
		return
	}
	const row = "%-6s %9s %7s %7s %9s %9s %6s %6s %6s %6s %9s %9s\n"
	b.WriteString("\n")
	fmt.Fprintf(b, row, "port", "raised in", "gained", "missed", "delivered", "delivered", "lost", "lost", "late", "late", "slowest", "slowest")
	fmt.Fprintf(b, row, "", "both", "by B", "by B", "A", "B", "A", "B", "A", "B", "A", "B")
	for i, p := range list {
		if i == mostPorts {
			fmt.Fprintf(b, "and %s more\n", group(uint64(len(list)-i)))
			break
		}
		raised, gained, missed := group(p.Raised), group(p.Gained), group(p.Missed)
		if !c.Inputs.Shared {
			raised, gained, missed = "-", "-", "-"
		}
		fmt.Fprintf(b, row, strconv.Itoa(int(p.Port)), raised, gained, missed, group(p.A.Delivered), group(p.B.Delivered), group(p.A.Lost), group(p.B.Lost),
			group(p.A.Late), group(p.B.Late), slowest(&p.A, c.A.Unit), slowest(&p.B, c.B.Unit))
	}
	if same := len(c.Ports) - len(list); same > 0 {
		fmt.Fprintf(b, "The other %s did alike.\n", group(uint64(same)))
	}
}

// weight says how much a port matters that did otherwise: findings first, then raises that only one delivers.
func (p *Port) weight() int {
	switch {
	case p.A.Lost != p.B.Lost || p.A.Late != p.B.Late || p.A.Other != p.B.Other:
		return 2
	case p.Gained+p.Missed > 0:
		return 1
	}
	return 0
}

// slowest writes the longest delay of a port, - if none is known.
func slowest(s *PortSide, unit string) string {
	if s.Slowest == 0 {
		return "-"
	}
	return delay(s.Slowest, unit)
}

func (c *Comparison) writeNumbers(b *strings.Builder) {
	const row = "%-22s %14s %14s %8s\n"
	b.WriteString("\n")
	fmt.Fprintf(b, row, "", "A", "B", "B / A")
	for i := range c.Numbers {
		n := &c.Numbers[i]
		if n.A == 0 && n.B == 0 {
			continue
		}
		ratio := "-"
		if n.Ratio != nil {
			ratio = strconv.FormatFloat(*n.Ratio, 'f', 2, 64)
		}
		x, y := group(uint64(n.A)), group(uint64(n.B))
		if n.Unit != "" {
			x, y = delay(n.A, c.A.Unit), delay(n.B, c.B.Unit)
		}
		fmt.Fprintf(b, row, n.Name, x, y, ratio)
	}
}

// short cuts a text that is too wide.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-3]) + "..."
}

// group writes a number with commas between thousands.
func group(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// delay writes a duration to three digits.
func delay(v int64, unit string) string {
	f := float64(v)
	switch {
	case unit == "ticks":
		return group(uint64(max(v, 0)))
	case v < 1e3:
		return fmt.Sprintf("%d ns", v)
	case v < 1e6:
		return fmt.Sprintf("%.3g us", min(f/1e3, 999))
	case v < 1e9:
		return fmt.Sprintf("%.3g ms", min(f/1e6, 999))
	}
	return fmt.Sprintf("%.1f s", f/1e9)
}

// moment writes a moment, to the microsecond.
func moment(v int64, unit string) string {
	switch {
	case unit == "ticks":
		return fmt.Sprintf("tick %d", v)
	case v < 1e9 && v > -1e9:
		return fmt.Sprintf("%.3f ms", float64(v)/1e6)
	}
	return fmt.Sprintf("%.6f s", float64(v)/1e9)
}
