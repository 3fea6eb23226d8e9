package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Check lists what is wrong with a JSON text by a schema, each with its place, such as ".findings[0].port". It reads what Of writes.
func Check(s *Schema, text []byte) []string {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return []string{fmt.Sprintf("no JSON: %v", err)}
	}
	c := &checker{defs: s.Defs}
	c.check(s, v, "")
	return c.wrong
}

type checker struct {
	defs  map[string]*Schema
	wrong []string
}

func (c *checker) say(at, format string, args ...any) {
	if at == "" {
		at = "."
	}
	c.wrong = append(c.wrong, at+": "+fmt.Sprintf(format, args...))
}

func (c *checker) check(s *Schema, v any, at string) {
	if s.Ref != "" {
		def := c.defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if def == nil {
			c.say(at, "the schema does not define %s", s.Ref)
			return
		}
		s = def
	}
	if len(s.AnyOf) > 0 {
		var first []string
		for _, alt := range s.AnyOf {
			sub := &checker{defs: c.defs}
			if sub.check(alt, v, at); len(sub.wrong) == 0 {
				return
			}
			if first == nil {
				first = sub.wrong
			}
		}
		c.wrong = append(c.wrong, first...)
		return
	}
	is := typesOf(v)
	if len(s.Types) > 0 && !slices.ContainsFunc(s.Types, func(t string) bool { return slices.Contains(is, t) }) {
		c.say(at, "got %s, want %s", is[0], strings.Join(s.Types, " or "))
		return
	}
	switch v := v.(type) {
	case string:
		if s.Enum != nil && !slices.Contains(s.Enum, v) {
			c.say(at, "got %q, want one of %s", v, strings.Join(s.Enum, ", "))
		}
	case json.Number:
		if f, err := v.Float64(); s.Minimum != nil && (err != nil || f < float64(*s.Minimum)) {
			c.say(at, "got %s, want %d or more", v, *s.Minimum)
		}
	case []any:
		for i, e := range v {
			if s.Items != nil {
				c.check(s.Items, e, fmt.Sprintf("%s[%d]", at, i))
			}
		}
	case map[string]any:
		c.object(s, v, at)
	}
}

func (c *checker) object(s *Schema, v map[string]any, at string) {
	for _, key := range s.Required {
		if _, ok := v[key]; !ok {
			c.say(at, "no key %q", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		prop, known := s.Properties[key]
		others, isMap := s.Others.(*Schema)
		switch {
		case known:
			c.check(prop, v[key], at+"."+key)
		case isMap:
			c.check(others, v[key], at+"["+key+"]")
		case s.Others == false:
			c.say(at, "a key %q that the schema does not have", key)
		}
	}
}

// typesOf gives the types of JSON Schema that a value has.
func typesOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case []any:
		return []string{"array"}
	case map[string]any:
		return []string{"object"}
	case json.Number:
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) {
			return []string{"integer", "number"}
		}
		return []string{"number"}
	}
	return []string{"unknown"}
}

// Settle makes the schemas within a schema that was read from JSON what they are: additionalProperties can be false, or a schema.
func Settle(s *Schema) error {
	if s == nil {
		return nil
	}
	if m, ok := s.Others.(map[string]any); ok {
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		others := new(Schema)
		if err := json.Unmarshal(data, others); err != nil {
			return err
		}
		s.Others = others
		if err := Settle(others); err != nil {
			return err
		}
	}
	for _, list := range [][]*Schema{{s.Items}, s.AnyOf, slices.Collect(maps.Values(s.Properties)), slices.Collect(maps.Values(s.Defs))} {
		for _, sub := range list {
			if err := Settle(sub); err != nil {
				return err
			}
		}
	}
	return nil
}
