package text

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// magic starts the first line of every text trace. The version follows it.
const magic = "evtrace text "

// maxHeader bounds the header of a trace, in bytes: scenarios and an importer's notes, never events.
const maxHeader = 64 << 20

// field is one field of the header: how it is written and read. append writes whole lines, none for an empty field; set takes the
// text after "key: ".
type field struct {
	key    string
	list   bool // may come more than once
	append func(b []byte, m *evtchn.Meta) []byte
	set    func(m *evtchn.Meta, value string) error
}

// fields is the header in its order. Meta.Format is the first line's; scenario comes last because it is long.
var fields = [...]field{
	stringField("tool", func(m *evtchn.Meta) *string { return &m.Tool }),
	stringField("source", func(m *evtchn.Meta) *string { return &m.Source }),
	stringField("origin", func(m *evtchn.Meta) *string { return &m.Origin }),
	stringField("abi", func(m *evtchn.Meta) *string { return &m.ABI }),
	intField("vcpus", func(m *evtchn.Meta) *int { return &m.VCPUs }),
	intField("word_bits", func(m *evtchn.Meta) *int { return &m.WordBits }),
	stringField("clock", func(m *evtchn.Meta) *string { return &m.Clock }),
	stringField("unit", func(m *evtchn.Meta) *string { return &m.Unit }),
	{key: "ns_per_tick",
		append: func(b []byte, m *evtchn.Meta) []byte {
			if math.Float64bits(m.NsPerTick) == 0 {
				return b
			}
			b = append(b, "ns_per_tick: "...)
			return append(strconv.AppendFloat(b, m.NsPerTick, 'g', -1, 64), '\n')
		},
		set: func(m *evtchn.Meta, v string) (err error) {
			if m.NsPerTick, err = strconv.ParseFloat(v, 64); err != nil {
				return fmt.Errorf("%.40q: want a number such as 0.41", v)
			}
			return nil
		}},
	{key: "complete",
		append: func(b []byte, m *evtchn.Meta) []byte {
			if !m.Complete {
				return b
			}
			return append(b, "complete: true\n"...)
		},
		set: func(m *evtchn.Meta, v string) error {
			if v != "true" {
				return fmt.Errorf("%.40q: want true, or no such line", v)
			}
			m.Complete = true
			return nil
		}},
	stringField("policy", func(m *evtchn.Meta) *string { return &m.Policy }),
	stringField("schedule", func(m *evtchn.Meta) *string { return &m.Schedule }),
	uintField("seed", func(m *evtchn.Meta) *uint64 { return &m.Seed }),
	intField("duration", func(m *evtchn.Meta) *evtchn.Time { return &m.Duration }),
	uintField("events", func(m *evtchn.Meta) *uint64 { return &m.Events }),
	uintField("gaps", func(m *evtchn.Meta) *uint64 { return &m.Gaps }),
	uintField("lost", func(m *evtchn.Meta) *uint64 { return &m.Lost }),
	uintField("unordered", func(m *evtchn.Meta) *uint64 { return &m.Unordered }),
	numberedField("task", func(m *evtchn.Meta) *[]string { return &m.Tasks }),
	numberedField("unknown", func(m *evtchn.Meta) *[]string { return &m.Unknown }),
	stringsField("unprobed", func(m *evtchn.Meta) *[]string { return &m.Unprobed }),
	stringsField("note", func(m *evtchn.Meta) *[]string { return &m.Notes }),
	countsField("count", func(m *evtchn.Meta) *map[string]uint64 { return &m.Counts }),
	uintField("lines", func(m *evtchn.Meta) *uint64 { return &m.Lines }),
	uintField("records", func(m *evtchn.Meta) *uint64 { return &m.Records }),
	uintField("broken", func(m *evtchn.Meta) *uint64 { return &m.Broken }),
	stringField("broken_at", func(m *evtchn.Meta) *string { return &m.BrokenAt }),
	uintField("ties", func(m *evtchn.Meta) *uint64 { return &m.Ties }),
	uintField("backward", func(m *evtchn.Meta) *uint64 { return &m.Backward }),
	countsField("missed", func(m *evtchn.Meta) *map[string]uint64 { return &m.Missed }),
	countsField("deduced", func(m *evtchn.Meta) *map[string]uint64 { return &m.Deduced }),
	{key: "scenario",
		append: appendScenario,
		set: func(_ *evtchn.Meta, v string) error {
			if v != "" {
				return fmt.Errorf("%.40q: want the text in the lines that follow, after |", v)
			}
			return nil
		}},
}

func stringField(key string, p func(*evtchn.Meta) *string) field {
	return field{key: key,
		append: func(b []byte, m *evtchn.Meta) []byte {
			if *p(m) == "" {
				return b
			}
			b = append(append(b, key...), ": "...)
			return append(appendString(b, *p(m)), '\n')
		},
		set: func(m *evtchn.Meta, v string) (err error) {
			*p(m), err = parseString(v)
			return err
		}}
}

func intField[T ~int | ~int64](key string, p func(*evtchn.Meta) *T) field {
	return field{key: key,
		append: func(b []byte, m *evtchn.Meta) []byte {
			if *p(m) == 0 {
				return b
			}
			b = append(append(b, key...), ": "...)
			return append(strconv.AppendInt(b, int64(*p(m)), 10), '\n')
		},
		set: func(m *evtchn.Meta, v string) error {
			n, ok := parseInt([]byte(v))
			if !ok || int64(T(n)) != n {
				return fmt.Errorf("%.40q: want a whole number", v)
			}
			*p(m) = T(n)
			return nil
		}}
}

func uintField(key string, p func(*evtchn.Meta) *uint64) field {
	return field{key: key,
		append: func(b []byte, m *evtchn.Meta) []byte {
			if *p(m) == 0 {
				return b
			}
			b = append(append(b, key...), ": "...)
			return append(strconv.AppendUint(b, *p(m), 10), '\n')
		},
		set: func(m *evtchn.Meta, v string) error {
			n, ok := parseUint([]byte(v))
			if !ok {
				return fmt.Errorf("%.40q: want a number from 0 to 2^64-1", v)
			}
			*p(m) = n
			return nil
		}}
}

// stringsField is a list with an element a line.
func stringsField(key string, p func(*evtchn.Meta) *[]string) field {
	return field{key: key, list: true,
		append: func(b []byte, m *evtchn.Meta) []byte {
			for _, s := range *p(m) {
				b = append(append(b, key...), ": "...)
				b = append(appendString(b, s), '\n')
			}
			return b
		},
		set: func(m *evtchn.Meta, v string) error {
			s, err := parseString(v)
			*p(m) = append(*p(m), s)
			return err
		}}
}

// numberedField is a list whose indexes events refer to: each line carries its index.
func numberedField(key string, p func(*evtchn.Meta) *[]string) field {
	return field{key: key, list: true,
		append: func(b []byte, m *evtchn.Meta) []byte {
			for i, s := range *p(m) {
				b = strconv.AppendInt(append(append(b, key...), ": "...), int64(i), 10)
				b = append(appendString(append(b, ' '), s), '\n')
			}
			return b
		},
		set: func(m *evtchn.Meta, v string) error {
			n, name, err := parseNumbered(v)
			if err != nil {
				return err
			}
			if n != uint64(len(*p(m))) {
				return fmt.Errorf("number %d: want %d: they count up from 0", n, len(*p(m)))
			}
			*p(m) = append(*p(m), name)
			return nil
		}}
}

// countsField is a number for each of some names, in the order of the names.
func countsField(key string, p func(*evtchn.Meta) *map[string]uint64) field {
	return field{key: key, list: true,
		append: func(b []byte, m *evtchn.Meta) []byte {
			for _, name := range slices.Sorted(maps.Keys(*p(m))) {
				b = strconv.AppendUint(append(append(b, key...), ": "...), (*p(m))[name], 10)
				b = append(appendString(append(b, ' '), name), '\n')
			}
			return b
		},
		set: func(m *evtchn.Meta, v string) error {
			n, name, err := parseNumbered(v)
			if err != nil {
				return err
			}
			if _, dup := (*p(m))[name]; dup {
				return fmt.Errorf("%.40q is counted twice", name)
			}
			if *p(m) == nil {
				*p(m) = make(map[string]uint64)
			}
			(*p(m))[name] = n
			return nil
		}}
}

func parseNumbered(v string) (uint64, string, error) {
	num, rest, found := strings.Cut(v, " ")
	n, ok := parseUint([]byte(num))
	if !found || !ok {
		return 0, "", fmt.Errorf("%.40q: want a number, a space and a name", v)
	}
	s, err := parseString(rest)
	return n, s, err
}

// plain reports whether s can stand for itself on a line: printable ASCII without a space that mail would take away.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s == "" || s[len(s)-1] != ' '
}

func appendString(b []byte, s string) []byte {
	if s != "" && s[0] != '"' && s[0] != ' ' && plain(s) {
		return append(b, s...)
	}
	return strconv.AppendQuoteToASCII(b, s)
}

func parseString(v string) (string, error) {
	if v == "" {
		return "", fmt.Errorf(`an empty value: want text, or ""`)
	}
	if v[0] != '"' {
		return v, nil
	}
	s, err := strconv.Unquote(v)
	if err != nil {
		return "", fmt.Errorf("%.40q: the quoted text does not end, or has an escape that Go does not know", v)
	}
	return s, nil
}

// appendScenario writes the scenario line by line, so that it can be read and compared where it is.
func appendScenario(b []byte, m *evtchn.Meta) []byte {
	if m.Scenario == "" {
		return b
	}
	b = append(b, "scenario:\n"...)
	for rest := m.Scenario; rest != ""; {
		line, after, newline := strings.Cut(rest, "\n")
		rest = after
		b = append(b, '|')
		if !newline {
			b = append(b, '-')
		}
		switch {
		case !plain(line):
			b = strconv.AppendQuoteToASCII(b, line)
		case line != "":
			b = append(append(b, ' '), line...)
		}
		b = append(b, '\n')
	}
	return b
}

// parseScenarioLine reads what follows the | of a line; last tells that the text ends there without a newline.
func parseScenarioLine(s string) (line string, last bool, err error) {
	s, last = strings.CutPrefix(s, "-")
	switch {
	case s == "":
		return "", last, nil
	case s[0] == ' ':
		return s[1:], last, nil
	case s[0] == '"':
		line, err = parseString(s)
		return line, last, err
	}
	return "", last, fmt.Errorf("%.40q: want a space or a quoted text after |", s)
}

// appendHeader appends the first line, the fields and the blank line.
func appendHeader(b []byte, m *evtchn.Meta) []byte {
	b = append(b, magic...)
	b = append(strconv.AppendInt(b, evtchn.FormatVersion, 10), '\n')
	for i := range fields {
		b = fields[i].append(b, m)
	}
	return append(b, '\n')
}

// headerParser takes the header's lines after the first, one by one.
type headerParser struct {
	meta     evtchn.Meta
	seen     [len(fields)]bool
	scenario []byte
	block    bool // lines that start with | may follow
	cut      bool // the scenario's last line had no newline
}

func (p *headerParser) line(line []byte) error {
	if line[0] == '|' {
		return p.scenarioLine(string(line[1:]))
	}
	p.block = false
	key, value, ok := strings.Cut(string(line), ":")
	if !ok {
		return lineErrorf("header line %.40q: want key: value, or the blank line that ends the header", line)
	}
	i := slices.IndexFunc(fields[:], func(f field) bool { return f.key == key })
	if i < 0 {
		return lineErrorf("header: %.40q is not a field: want one of %s", key, keys())
	}
	if value != "" {
		if value, ok = strings.CutPrefix(value, " "); !ok {
			return lineErrorf("header: %s: want a space after the colon", key)
		}
	}
	f := &fields[i]
	if p.seen[i] && !f.list {
		return lineErrorf("header: %s is here for the second time", key)
	}
	p.seen[i] = true
	p.block = key == "scenario"
	if err := f.set(&p.meta, value); err != nil {
		return lineErrorf("header: %s: %v", key, err)
	}
	return nil
}

func (p *headerParser) scenarioLine(s string) error {
	if !p.block || p.cut {
		return lineErrorf("header: a line that starts with | belongs after scenario: and before |-")
	}
	text, last, err := parseScenarioLine(s)
	if err != nil {
		return lineErrorf("header: scenario: %v", err)
	}
	p.cut = last
	p.scenario = append(p.scenario, text...)
	if !last {
		p.scenario = append(p.scenario, '\n')
	}
	return nil
}

func (p *headerParser) finish() evtchn.Meta {
	p.meta.Scenario = string(p.scenario)
	return p.meta
}

func keys() string {
	var ks []string
	for i := range fields {
		ks = append(ks, fields[i].key)
	}
	return strings.Join(ks, ", ")
}

// firstDifference compares a header with the one spelling that its meaning has. It gives the line, from 1, and both
// versions of it; line 0 means that they are the same.
func firstDifference(got, want []byte) (line int, g, w []byte) {
	for n := 1; len(got) > 0 || len(want) > 0; n++ {
		g, got, _ = bytes.Cut(got, []byte("\n"))
		w, want, _ = bytes.Cut(want, []byte("\n"))
		if !bytes.Equal(g, w) {
			return n, g, w
		}
	}
	return 0, nil, nil
}
