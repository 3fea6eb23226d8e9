package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// jsonCmd looks into a JSON file, so that scripts need no tool for it:
//
//	json FILE PATH == VALUE        also !=, <, <=, >, >=; strings are written without quotes, null is null
//	json FILE PATH near VALUE      within 2 %
//	json FILE PATH len OP NUMBER   of a list or an object
//	json FILE PATH has KEY...
//
// A path is . for all of it, or keys and indexes: findings[0].why, policies[].verdict. [] means each element of a list: all must
// do, and there must be one. A key may be in brackets: counts[pend.tas].
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 4 {
		ts.Fatalf("usage: json FILE PATH OP VALUE...")
	}
	var root any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &root); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	found, err := lookUp(root, args[1])
	if err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	for _, v := range found {
		ok, err := holds(v, args[2], args[3:])
		if err != nil {
			ts.Fatalf("json: %v", err)
		}
		if ok == neg {
			got, _ := json.Marshal(v)
			ts.Fatalf("%s: %s: got %.300s, want %s (negated: %t)", args[0], args[1], got, strings.Join(args[2:], " "), neg)
		}
	}
}

// lookUp gives what is at a path, at least one value.
func lookUp(v any, path string) ([]any, error) {
	at := []any{v}
	rest := strings.TrimPrefix(path, ".")
	for rest != "" {
		var key string
		if strings.HasPrefix(rest, "[") {
			key, rest, _ = strings.Cut(rest[1:], "]")
		} else {
			n := strings.IndexAny(rest, ".[")
			if n < 0 {
				n = len(rest)
			}
			key, rest = rest[:n], rest[n:]
		}
		rest = strings.TrimPrefix(rest, ".")
		var next []any
		for _, v := range at {
			switch v := v.(type) {
			case map[string]any:
				child, ok := v[key]
				if !ok {
					return nil, fmt.Errorf("%s: no key %q", path, key)
				}
				next = append(next, child)
			case []any:
				i, err := strconv.Atoi(key)
				switch {
				case key == "":
					next = append(next, v...)
				case err != nil || i < 0 || i >= len(v):
					return nil, fmt.Errorf("%s: no element %q among %d", path, key, len(v))
				default:
					next = append(next, v[i])
				}
			default:
				return nil, fmt.Errorf("%s: %q of %v, which is no list and no object", path, key, v)
			}
		}
		at = next
	}
	if len(at) == 0 {
		return nil, fmt.Errorf("%s: there is none", path)
	}
	return at, nil
}

// holds compares a value.
func holds(v any, op string, args []string) (bool, error) {
	switch op {
	case "has":
		m, _ := v.(map[string]any)
		for _, key := range args {
			if _, ok := m[key]; !ok {
				return false, nil
			}
		}
		return true, nil
	case "len":
		n := -1
		switch v := v.(type) {
		case []any:
			n = len(v)
		case map[string]any:
			n = len(v)
		}
		if len(args) != 2 || n < 0 {
			return false, fmt.Errorf("len wants a list or an object, an operator and a number")
		}
		return holds(float64(n), args[0], args[1:])
	}
	if len(args) != 1 {
		return false, fmt.Errorf("%s wants one value", op)
	}
	got := fmt.Sprint(v)
	if v == nil {
		got = "null"
	}
	switch op {
	case "==":
		if f, ok := v.(float64); ok {
			want, err := strconv.ParseFloat(args[0], 64)
			return f == want, err
		}
		return got == args[0], nil
	case "!=":
		same, err := holds(v, "==", args)
		return !same, err
	}
	f, isNumber := v.(float64)
	want, err := strconv.ParseFloat(args[0], 64)
	if !isNumber || err != nil {
		return false, fmt.Errorf("%s compares numbers: got %v and %s", op, v, args[0])
	}
	switch op {
	case "<":
		return f < want, nil
	case "<=":
		return f <= want, nil
	case ">":
		return f > want, nil
	case ">=":
		return f >= want, nil
	case "near":
		return math.Abs(f-want) < 0.02*math.Abs(want), nil
	}
	return false, fmt.Errorf("no operator is called %q", op)
}

// TestJSONCommand: what checks the others must itself be able to fail.
func TestJSONCommand(t *testing.T) {
	var root any
	if err := json.Unmarshal([]byte(`{"a": {"b.c": [1, 2, null]}, "list": [{"k": "x"}, {"k": "y"}], "none": []}`), &root); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, op, args string
		want           bool
		bad            bool
	}{
		{"a[b.c][0]", "==", "1", true, false},
		{"a[b.c][0]", "==", "2", false, false},
		{"a[b.c][2]", "==", "null", true, false},
		{"a[b.c]", "len", "== 3", true, false},
		{"a[b.c]", "len", "> 3", false, false},
		{"list[].k", "!=", "z", true, false},
		{"list[].k", "==", "x", false, false},
		{"list[1]", "has", "k", true, false},
		{"list[1]", "has", "k l", false, false},
		{"a[b.c][1]", "near", "2.01", true, false},
		{"a[b.c][1]", "near", "2.1", false, false},
		{".", "has", "a list", true, false},
		{"none[]", "==", "1", false, true},
		{"b", "==", "1", false, true},
		{"list[2]", "==", "1", false, true},
		{"list[0].k", "<", "1", false, true},
		{"list[0].k", "=", "x", false, true},
	} {
		found, err := lookUp(root, c.path)
		all := err == nil
		for _, v := range found {
			ok, herr := holds(v, c.op, strings.Fields(c.args))
			all = all && ok
			if herr != nil {
				err = herr
			}
		}
		if all != c.want || (err != nil) != c.bad {
			t.Errorf("%s %s %s: got %t, %v; want %t", c.path, c.op, c.args, all, err, c.want)
		}
	}
}
