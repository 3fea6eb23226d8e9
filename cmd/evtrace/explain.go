package main

import (
	"fmt"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// procedureInfo is a procedure of a policy, in the text and in the JSON of policies.
type procedureInfo struct {
	Role  string     `json:"role"`
	Name  string     `json:"name"`
	Steps []stepInfo `json:"steps"`
}

// stepInfo is a step of a procedure.
type stepInfo struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

func proceduresOf(p evtchn.Policy) []procedureInfo {
	var list []procedureInfo
	for _, q := range evtchn.Procedures(p) {
		in := procedureInfo{Role: q.Role, Name: q.Name, Steps: []stepInfo{}}
		for _, s := range q.Steps {
			in.Steps = append(in.Steps, stepInfo{s.Kind.String(), s.Text})
		}
		list = append(list, in)
	}
	return list
}

// column is the width of a step list; two of them stand side by side.
const column = 48

// compareProcedures writes the procedures in which a policy differs from the baseline, side by side, and names the others.
func compareProcedures(b *strings.Builder, name string, base, p []procedureInfo) {
	var same []string
	for _, q := range p {
		was := procedureInfo{Role: q.Role, Name: "nothing"}
		for _, o := range base {
			if o.Role == q.Role {
				was = o
			}
		}
		rows := align(was.Steps, q.Steps)
		if was.Name == q.Name && !differ(rows) {
			same = append(same, q.Role)
			continue
		}
		fmt.Fprintf(b, "\n  %s\n", q.Role)
		pair(b, ' ', "xen-2005: "+was.Name, name+": "+q.Name)
		for _, r := range rows {
			mark := ' '
			if !r.same {
				mark = '*'
			}
			pair(b, mark, r.left, r.right)
		}
	}
	if len(same) > 0 {
		b.WriteString("\n")
		b.WriteString(wrap("  ", "As in xen-2005: "+strings.Join(same, ", ")+".", 100))
	}
}

// listProcedures writes all procedures of a policy.
func listProcedures(b *strings.Builder, p []procedureInfo) {
	for _, q := range p {
		if len(q.Steps) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n  %s: %s\n", q.Role, q.Name)
		for _, s := range q.Steps {
			lines := wrap(strings.Repeat(" ", 20), s.Text, 100)
			fmt.Fprintf(b, "    %-15s %s", s.Kind, strings.TrimLeft(lines, " "))
		}
	}
}

// row is a line of a comparison.
type row struct {
	left, right string
	same        bool
}

func differ(rows []row) bool {
	for _, r := range rows {
		if !r.same {
			return true
		}
	}
	return false
}

// align puts the steps that two lists have in common beside each other (their longest common subsequence).
func align(a, b []stepInfo) []row {
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var rows []row
	var left, right []string // not in common, since the last row that is
	flush := func() {
		for k := range max(len(left), len(right)) {
			var r row
			if k < len(left) {
				r.left = left[k]
			}
			if k < len(right) {
				r.right = right[k]
			}
			rows = append(rows, r)
		}
		left, right = nil, nil
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			flush()
			rows = append(rows, row{a[i].String(), b[j].String(), true})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			left = append(left, a[i].String())
			i++
		default:
			right = append(right, b[j].String())
			j++
		}
	}
	flush()
	return rows
}

func (s stepInfo) String() string { return s.Kind + ": " + s.Text }

// pair writes two texts beside each other, each in a column.
func pair(b *strings.Builder, mark rune, left, right string) {
	ls, rs := cell(left), cell(right)
	for k := range max(len(ls), len(rs)) {
		l, r := "", ""
		if k < len(ls) {
			l = ls[k]
		}
		if k < len(rs) {
			r = rs[k]
		}
		line := fmt.Sprintf("  %-*s %c %s", column-2, l, mark, r)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		mark = ' '
	}
}

// cell breaks a text into lines of a column; all but the first are indented.
func cell(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(wrap("", s, column-4), "\n"), "\n")
	for i := 1; i < len(lines); i++ {
		lines[i] = "  " + lines[i]
	}
	return lines
}
