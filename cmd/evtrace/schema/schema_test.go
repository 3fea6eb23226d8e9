package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

type word string

type inner struct {
	N    uint8             `json:"n"`
	Self *inner            `json:"self,omitempty"`
	M    map[string]uint64 `json:"m"`
}

type outer struct {
	inner
	A      []inner `json:"a"`
	P      *int64  `json:"p"`
	Q      *inner  `json:"q"`
	F      float64 `json:"f,omitempty"`
	W      word    `json:"w"`
	Any    any     `json:"any"`
	hidden int
	Skip   int      `json:"-"`
	Plain  []string // without a tag
}

var enums = Enums{reflect.TypeFor[word](): {"good", "bad"}}

// TestValues: what encoding/json makes of a value does, and what is changed in it does not, at the place where it was changed.
func TestValues(t *testing.T) {
	s := Of("outer", reflect.TypeFor[outer](), enums)
	n := int64(-3)
	for _, v := range []outer{
		{hidden: 7, A: []inner{}, W: "good", Plain: []string{}, inner: inner{M: map[string]uint64{"k": 1 << 63}}},
		{A: []inner{{N: 1, M: map[string]uint64{}, Self: &inner{M: map[string]uint64{}}}}, P: &n, Q: &inner{M: map[string]uint64{}}, F: 0.5, W: "bad", Any: []any{1}, Plain: []string{"x"},
			inner: inner{M: map[string]uint64{}}},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := Check(s, text); len(wrong) > 0 {
			t.Errorf("%s:\n%s", text, strings.Join(wrong, "\n"))
		}
	}
	good := `{"n":1,"m":{"k":2},"a":[{"n":1,"m":{}}],"p":null,"q":null,"w":"good","any":1,"Plain":["x"]}`
	if wrong := Check(s, []byte(good)); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for _, tt := range []struct{ from, to, want string }{
		{`"n":1,"m":{"k":2}`, `"n":-1,"m":{"k":2}`, ".n: got -1, want 0 or more"},
		{`"n":1,"m":{"k":2}`, `"n":1.5,"m":{"k":2}`, ".n: got number, want integer"},
		{`"k":2`, `"k":"2"`, ".m[k]: got string, want integer"},
		{`[{"n":1,`, `[{`, `.a[0]: no key "n"`},
		{`[{"n":1,`, `[{"n":1,"self":{},`, `.a[0].self: no key "n"`},
		{`"p":null`, `"p":"1"`, ".p: got string, want integer or null"},
		{`"q":null`, `"q":[]`, ".q: got array, want object"},
		{`"good"`, `"goood"`, `.w: got "goood", want one of good, bad`},
		{`"any":1`, `"any":1,"hidden":1`, `.: a key "hidden" that the schema does not have`},
		{`["x"]`, `null`, ".Plain: got null, want array"},
		{`{"n"`, `{{`, "no JSON"},
	} {
		bad := strings.Replace(good, tt.from, tt.to, 1)
		if wrong := Check(s, []byte(bad)); len(wrong) == 0 || !strings.HasPrefix(wrong[0], tt.want) {
			t.Errorf("%s: got %q, want %q", bad, wrong, tt.want)
		}
	}
}
