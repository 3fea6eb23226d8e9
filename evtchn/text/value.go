package text

import (
	"math"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// evtchn.NoVCPU as arguments carry it: 16 bits. Sign-extended it is a number that the machine takes for the same, but that is
// to be told apart here.
const (
	noVCPU       = math.MaxUint16
	noVCPUSigned = math.MaxUint64
)

// appendValue appends the one spelling of a value of type t: that of the type where the value fits it, else #N.
func appendValue(b []byte, t evtchn.ArgType, v uint64) []byte {
	switch t {
	case evtchn.ArgBit:
		if v <= 1 {
			return append(b, '0'+byte(v))
		}
		if v == uint64(evtchn.Unknown) {
			return append(b, '?')
		}
	case evtchn.ArgVCPU:
		if v <= math.MaxInt16 {
			return strconv.AppendUint(append(b, 'v'), v, 10)
		}
		switch v {
		case noVCPU:
			return append(b, '-')
		case noVCPUSigned:
			return append(b, "v-1"...)
		}
	case evtchn.ArgBits:
		return strconv.AppendUint(append(b, "0x"...), v, 16)
	case evtchn.ArgWord:
		return strconv.AppendUint(append(b, 'w'), v, 10)
	case evtchn.ArgPort:
		return strconv.AppendUint(append(b, 'p'), v, 10)
	case evtchn.ArgInt:
		return strconv.AppendInt(b, int64(v), 10)
	case evtchn.ArgOp, evtchn.ArgHC, evtchn.ArgStatus, evtchn.ArgRun, evtchn.ArgIOReq, evtchn.ArgKind, evtchn.ArgTurn:
		if names := t.Names(); v < uint64(len(names)) {
			return append(b, names[v]...)
		}
	default: // ArgUint, ArgDom, ArgTask; ArgNone where a kind carries more than its spec says
		return strconv.AppendUint(b, v, 10)
	}
	return strconv.AppendUint(append(b, '#'), v, 10)
}

// parseValue is the inverse of appendValue, and takes nothing else.
func parseValue(t evtchn.ArgType, tok []byte) (v uint64, ok bool) {
	if len(tok) == 0 {
		return 0, false
	}
	switch t {
	case evtchn.ArgBit:
		if len(tok) == 1 {
			switch tok[0] {
			case '0', '1':
				return uint64(tok[0] - '0'), true
			case '?':
				return uint64(evtchn.Unknown), true
			}
			return 0, false
		}
		v, ok = parsePrefixed(tok, '#')
		return v, ok && v > uint64(evtchn.Unknown)
	case evtchn.ArgVCPU:
		if tok[0] == '#' {
			v, ok = parsePrefixed(tok, '#')
			return v, ok && v > math.MaxInt16 && v != noVCPU && v != noVCPUSigned
		}
		switch string(tok) {
		case "-":
			return noVCPU, true
		case "v-1":
			return noVCPUSigned, true
		}
		v, ok = parsePrefixed(tok, 'v')
		return v, ok && v <= math.MaxInt16
	case evtchn.ArgBits:
		return parseHex(tok)
	case evtchn.ArgWord:
		return parsePrefixed(tok, 'w')
	case evtchn.ArgPort:
		return parsePrefixed(tok, 'p')
	case evtchn.ArgInt:
		i, ok := parseInt(tok)
		return uint64(i), ok
	case evtchn.ArgOp, evtchn.ArgHC, evtchn.ArgStatus, evtchn.ArgRun, evtchn.ArgIOReq, evtchn.ArgKind, evtchn.ArgTurn:
		names := t.Names()
		if tok[0] == '#' {
			v, ok = parsePrefixed(tok, '#')
			return v, ok && v >= uint64(len(names))
		}
		for i, n := range names {
			if n == string(tok) {
				return uint64(i), true
			}
		}
		return 0, false
	}
	return parseUint(tok)
}

// wanted says what a value of the type may look like, for messages.
func wanted(t evtchn.ArgType) string {
	switch t {
	case evtchn.ArgBit:
		return "0, 1 or ?"
	case evtchn.ArgVCPU:
		return "v0 to v32767, or -"
	case evtchn.ArgBits:
		return "a hexadecimal number such as 0x2f"
	case evtchn.ArgWord:
		return "a word such as w1"
	case evtchn.ArgPort:
		return "a port such as p65"
	case evtchn.ArgInt:
		return "a number from -2^63 to 2^63-1"
	}
	if names := t.Names(); names != nil {
		return "one of " + strings.Join(names, ", ")
	}
	return "a number from 0 to 2^64-1"
}

// parseUint takes a decimal number without sign and leading zeros.
func parseUint(tok []byte) (uint64, bool) {
	if len(tok) == 0 || len(tok) > 20 || tok[0] == '0' && len(tok) > 1 {
		return 0, false
	}
	var v uint64
	for _, c := range tok {
		d := uint64(c - '0')
		if d > 9 {
			return 0, false
		}
		if v > math.MaxUint64/10 || v == math.MaxUint64/10 && d > math.MaxUint64%10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// parseInt takes a decimal number with an optional minus sign; -0 is not a number.
func parseInt(tok []byte) (int64, bool) {
	if len(tok) > 0 && tok[0] == '-' {
		v, ok := parseUint(tok[1:])
		return -int64(v), ok && v != 0 && v <= 1<<63
	}
	v, ok := parseUint(tok)
	return int64(v), ok && v <= math.MaxInt64
}

// parseHex takes a hexadecimal number in lower case, with 0x and without leading zeros.
func parseHex(tok []byte) (uint64, bool) {
	if len(tok) < 3 || len(tok) > 18 || tok[0] != '0' || tok[1] != 'x' || tok[2] == '0' && len(tok) > 3 {
		return 0, false
	}
	var v uint64
	for _, c := range tok[2:] {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// parsePrefixed takes a decimal number after one letter.
func parsePrefixed(tok []byte, prefix byte) (uint64, bool) {
	if len(tok) == 0 || tok[0] != prefix {
		return 0, false
	}
	return parseUint(tok[1:])
}
