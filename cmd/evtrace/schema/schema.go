// Package schema makes JSON schemas of Go types, and holds values to them. It knows as much of JSON Schema (draft 2020-12) as encoding/json
// makes of this module's reports.
//
// Start with [Of] and [Check]. A schema says which keys there are, of which type, and which are always there. An object has no other keys: a reader of
// the output should take none for granted all the same, since keys are added.
package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Schema is a JSON schema.
type Schema struct {
	Dialect    string             `json:"$schema,omitempty"`
	Title      string             `json:"title,omitempty"`
	Ref        string             `json:"$ref,omitempty"`
	Types      []string           `json:"type,omitempty"`
	Enum       []string           `json:"enum,omitempty"`
	Minimum    *int               `json:"minimum,omitempty"`
	Items      *Schema            `json:"items,omitempty"`
	Properties map[string]*Schema `json:"properties,omitempty"`
	Required   []string           `json:"required,omitempty"`
	// Others is false for an object with those properties alone, and the schema of all values for a map.
	Others any                `json:"additionalProperties,omitempty"`
	AnyOf  []*Schema          `json:"anyOf,omitempty"`
	Defs   map[string]*Schema `json:"$defs,omitempty"`
}

// Enums are the words that string types may hold.
type Enums map[reflect.Type][]string

// Of makes the schema of what encoding/json writes of a type. A slice that is nil is null there: values must not
// have one, apart from fields with the tag schema:"null".
func Of(title string, t reflect.Type, enums Enums) *Schema {
	g := &generator{enums: enums, defs: make(map[string]*Schema), named: make(map[reflect.Type]string)}
	s := g.of(t)
	return &Schema{Dialect: "https://json-schema.org/draft/2020-12/schema", Title: title, Ref: s.Ref, Types: s.Types, Items: s.Items, Others: s.Others, Defs: g.defs}
}

type generator struct {
	enums Enums
	defs  map[string]*Schema
	named map[reflect.Type]string
}

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
)

func (g *generator) of(t reflect.Type) *Schema {
	zero := 0
	switch {
	case t.Kind() == reflect.Pointer:
		return g.of(t.Elem())
	case t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler):
		return &Schema{}
	case t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler):
		return &Schema{Types: []string{"string"}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return &Schema{Types: []string{"boolean"}}
	case reflect.String:
		return &Schema{Types: []string{"string"}, Enum: g.enums[t]}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &Schema{Types: []string{"integer"}}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Schema{Types: []string{"integer"}, Minimum: &zero}
	case reflect.Float32, reflect.Float64:
		return &Schema{Types: []string{"number"}}
	case reflect.Slice, reflect.Array:
		return &Schema{Types: []string{"array"}, Items: g.of(t.Elem())}
	case reflect.Map:
		return &Schema{Types: []string{"object"}, Others: g.of(t.Elem())}
	case reflect.Struct:
		return &Schema{Ref: "#/$defs/" + g.define(t)}
	}
	return &Schema{}
}

// define puts a struct among the definitions, and gives its name there.
func (g *generator) define(t reflect.Type) string {
	if name, ok := g.named[t]; ok {
		return name
	}
	name := t.Name()
	for i := 2; g.defs[name] != nil; i++ {
		name = fmt.Sprintf("%s%d", t.Name(), i)
	}
	s := &Schema{Types: []string{"object"}, Properties: make(map[string]*Schema), Others: false}
	g.named[t], g.defs[name] = name, s
	g.fields(t, s)
	return name
}

// fields adds the keys of a struct; those of an embedded one are its own.
func (g *generator) fields(t reflect.Type, s *Schema) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case key == "-":
			continue
		case f.Anonymous && key == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			g.fields(inner, s)
			continue
		case !f.IsExported():
			continue
		case key == "":
			key = f.Name
		}
		v := g.of(f.Type)
		if opt := strings.Contains(opts, "omitempty"); !opt {
			s.Required = append(s.Required, key)
			if f.Type.Kind() == reflect.Pointer || f.Tag.Get("schema") == "null" {
				v = nullable(v)
			}
		}
		s.Properties[key] = v
	}
}

// nullable lets a value be null, too.
func nullable(s *Schema) *Schema {
	if s.Ref != "" || s.Enum != nil {
		return &Schema{AnyOf: []*Schema{s, {Types: []string{"null"}}}}
	}
	c := *s
	c.Types = append(slices.Clone(c.Types), "null")
	return &c
}
