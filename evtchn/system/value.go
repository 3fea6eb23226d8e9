package system

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/evtrace/evtrace/evtchn"
)

// scalar is a value as the file has it, and the field that it is for.
type scalar struct {
	text      string
	tag       string // YAML's idea of its type
	isDefault bool
	field     *field
}

// store puts the value where a field's at points to. It returns what is wrong, with what is allowed, or "".
func (s *scalar) store(to any) string {
	switch to := to.(type) {
	case *int:
		n, problem := s.number()
		if problem != "" {
			return problem
		}
		*to = int(n)
	case *evtchn.Port:
		n, problem := s.number()
		if problem != "" {
			return problem
		}
		*to = evtchn.Port(n)
	case *powerOfTwo:
		n, problem := s.number()
		if problem != "" {
			return problem
		}
		if n&(n-1) != 0 {
			return s.refuse("")
		}
		*to = powerOfTwo(n)
	case *float64:
		f, err := strconv.ParseFloat(s.text, 64)
		if err != nil || !(f >= float64(s.field.lo) && f <= float64(s.field.hi)) || !s.isNumber() {
			return s.refuse("")
		}
		*to = f
	case *bool:
		if s.text != "true" && s.text != "false" || s.tag != "!!bool" && !s.isDefault {
			return s.refuse("")
		}
		*to = s.text == "true"
	case *evtchn.Time:
		t, problem := s.duration(s.text)
		if problem == "" {
			*to = t
		}
		return problem
	case *Span:
		return s.span(to)
	case *vcpuNumber:
		return s.place(to)
	case *DomainKind:
		return s.word(func(i int) { *to = DomainKind(i) })
	case *PortOrigin:
		return s.word(func(i int) { *to = PortOrigin(i) })
	case *handlerWord:
		return s.word(func(i int) { *to = handlerWord(i) })
	case *opsText:
		return to.parse(s.text)
	case *eitherWord:
		return s.word(func(i int) { *to = i == 1 })
	case *wordText:
		return s.word(func(i int) { *to = wordText(s.field.words[i]) })
	case *policyText:
		if _, err := evtchn.ParsePolicy(s.text); err != nil || strings.TrimSpace(s.text) == "" {
			if err == nil {
				return s.refuse("")
			}
			return strings.TrimPrefix(strings.TrimPrefix(err.Error(), evtchn.ErrPolicy.Error()), ": ")
		}
		*to = policyText(s.text)
	case *nameText:
		if !nameForm.MatchString(s.text) {
			return s.refuse("")
		}
		*to = nameText(s.text)
	case *lineText:
		if strings.ContainsAny(strings.TrimSpace(s.text), "\r\n") {
			return s.refuse("")
		}
		*to = lineText(strings.TrimSpace(s.text))
	case *proseText:
		*to = proseText(strings.TrimSpace(s.text))
	default:
		panic(fmt.Sprintf("system: internal error: field %s has a value of type %T", s.field.key, to))
	}
	return ""
}

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)
	decimalForm = regexp.MustCompile(`^[+-]?[0-9]+$`)
)

// refuse says what is there and what is allowed.
func (s *scalar) refuse(why string) string {
	if why != "" {
		why += ": "
	}
	got := quote(s.text)
	if s.isNumber() || decimalForm.MatchString(s.text) {
		got = s.text
	}
	return fmt.Sprintf("%sgot %s, want %s", why, got, s.field.allowed())
}

func (s *scalar) isNumber() bool { return s.isDefault || s.tag == "!!int" || s.tag == "!!float" }

func (s *scalar) number() (int64, string) {
	n, err := strconv.ParseInt(s.text, 10, 64)
	if err != nil || !s.isNumber() || !s.field.inRange(n) {
		return 0, s.refuse("")
	}
	return n, ""
}

func (f *field) inRange(n int64) bool { return n >= f.lo && n <= f.hi || f.zero && n == 0 }

func (s *scalar) word(set func(int)) string {
	for i, w := range s.field.words {
		if s.text == w {
			set(i)
			return ""
		}
	}
	return s.refuse("") + evtchn.Suggest(s.text, s.field.words)
}

func (s *scalar) place(to *vcpuNumber) string {
	switch s.text {
	case anyWord:
		*to = AnyVCPU
		return ""
	case otherWord:
		*to = OtherVCPU
		return ""
	}
	n, err := strconv.ParseInt(s.text, 10, 32)
	if err != nil || n < 0 || n >= evtchn.MaxVCPUs || !s.isNumber() {
		return s.refuse("") + evtchn.Suggest(s.text, []string{anyWord, otherWord})
	}
	*to = vcpuNumber(n)
	return ""
}

func (s *scalar) duration(text string) (evtchn.Time, string) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil && decimalForm.MatchString(text):
		return 0, s.refuse("no unit")
	case err != nil:
		return 0, s.refuse("")
	case !s.field.inRange(int64(d)):
		return 0, s.refuse("out of range")
	}
	return evtchn.Time(d), ""
}

func (s *scalar) span(to *Span) string {
	first, second, isPair := strings.Cut(s.text, "..")
	lo, problem := s.duration(strings.TrimSpace(first))
	if problem != "" {
		return problem
	}
	hi := lo
	if isPair {
		if hi, problem = s.duration(strings.TrimSpace(second)); problem != "" {
			return problem
		}
	}
	switch {
	case lo > hi:
		return fmt.Sprintf("got %s, want the shorter duration first", quote(s.text))
	case s.field.zero && lo == 0 && hi != 0:
		return fmt.Sprintf("got %s, want %s", quote(s.text), s.field.allowed())
	}
	*to = Span{lo, hi}
	return ""
}

// quote makes a value fit for a message: in quotes, without control characters, not too long.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return strconv.Quote(string(r[:most])) + "..."
	}
	return strconv.Quote(s)
}

// units writes a duration as a scenario file would have it.
func units(t int64) string {
	s := strings.Replace(time.Duration(t).String(), "µs", "us", 1)
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "0s" {
		return "0"
	}
	return s
}
