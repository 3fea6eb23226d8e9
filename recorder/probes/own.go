package probes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Own is a function of the user's own, of a module or a patched kernel, that does what one of the kernel's does.
type Own struct {
	Kind   string   // the record that it makes, such as unmask: see OwnKinds
	Place  string   // [MODULE:]FUNCTION[+OFFSET]
	Fields []string // NAME=FETCH:TYPE, in the language of kprobe_events
}

// ownNeeds are the kinds of records that a function of the user's own can make, with the fields that the importer cannot do without.
var ownNeeds = map[string][]string{
	"upcall": nil, "upcall_ret": nil, "scan": nil,
	"deliver": {"port"}, "clear": {"port"}, "mask": {"port"}, "unmask": {"port"}, "remove": {"port"}, "bind_evtchn": {"port"},
	"bind_cpu": {"port", "cpu"}, "bind_evtchn_ret": {"irq"}, "ipi": {"cpu"}, "lateeoi": {"irq"}, "dev_irq": {"irq", "port"},
	"dev_ioctl": {"cmd"}, "dev_ioctl_ret": {"ret"}, "dev_write": {"bytes"},
	"hc_send": {"port"}, "hc_ipi": {"port"}, "hc_unmask": {"port"}, "hc_bind_vcpu": {"port", "vcpu"}, "hc_close": {"port"},
}

// ownFields are the fields of records, with the type that is taken if none is named.
var ownFields = map[string]string{
	"port": "u32", "cpu": "u32", "vcpu": "u32", "irq": "s32", "vec": "u32", "old": "u32", "cmd": "x32", "a0": "u32", "a1": "u32", "ret": "s32",
	"bytes": "u32", "p0": "u32", "p1": "u32", "p2": "u32", "p3": "u32", "flags": "x32", "enabled": "u8",
}

// OwnKinds lists the kinds of records that a function of the user's own can make.
func OwnKinds() []string { return sortedKeys(ownNeeds) }

func sortedKeys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

var (
	placePattern = regexp.MustCompile(`^(?:([A-Za-z0-9_-]+):)?([A-Za-z_.][A-Za-z0-9_.$]*)(\+(?:0x[0-9a-fA-F]+|[0-9]+))?$`)
	fetchPattern = regexp.MustCompile(`^[%$@+\\-][A-Za-z0-9_%$@+()\\-]+(:[a-z][a-z0-9]*)?$`)
)

// ParseOwn reads KIND=[MODULE:]FUNCTION[+OFFSET] NAME=FETCH[:TYPE]..., such as "unmask=mymod:my_unmask port=%di:u32". The error wraps ErrOptions.
func ParseOwn(s string) (Own, error) {
	bad := func(format string, args ...any) (Own, error) {
		return Own{}, fmt.Errorf("%w: probe %q: %s", ErrOptions, s, fmt.Sprintf(format, args...))
	}
	words := strings.Fields(s)
	if len(words) == 0 {
		return bad("want KIND=FUNCTION FIELDS, such as unmask=mymod:my_unmask port=%%di:u32")
	}
	kind, place, ok := strings.Cut(words[0], "=")
	if !ok || kind == "" || place == "" {
		return bad("want KIND=FUNCTION FIELDS, such as unmask=mymod:my_unmask port=%%di:u32")
	}
	needs, ok := ownNeeds[kind]
	if !ok {
		hint := evtchn.Suggest(kind, OwnKinds())
		if hint == "" {
			hint = "; there are " + strings.Join(OwnKinds(), ", ")
		}
		return bad("no record is called %q%s", kind, hint)
	}
	if !placePattern.MatchString(place) {
		return bad("got %q, want a function: [MODULE:]FUNCTION[+OFFSET]", place)
	}
	o := Own{Kind: kind, Place: place}
	var have []string
	for _, w := range words[1:] {
		name, fetch, ok := strings.Cut(w, "=")
		typ, known := ownFields[name]
		switch {
		case !ok:
			return bad("got %q, want NAME=FETCH, such as port=%%di:u32", w)
		case !known:
			hint := evtchn.Suggest(name, sortedKeys(ownFields))
			if hint == "" {
				hint = "; there are " + strings.Join(sortedKeys(ownFields), ", ")
			}
			return bad("no field is called %q%s", name, hint)
		case slices.Contains(have, name):
			return bad("%s is given twice", name)
		case !fetchPattern.MatchString(fetch):
			return bad("%s is to be %q, want a register such as %%di, or memory such as +8(%%si), with :TYPE behind it if it is not %s", name, fetch, typ)
		}
		if !strings.Contains(fetch, ":") {
			fetch += ":" + typ
		}
		have = append(have, name)
		o.Fields = append(o.Fields, name+"="+fetch)
	}
	for _, n := range needs {
		if !slices.Contains(have, n) {
			return bad("a record of %s needs %s: which argument of the function is it? %s=%%di:%s is the first, %%si the second, %%dx the third", kind, n, n, ownFields[n])
		}
	}
	return o, nil
}

// String gives the spelling that ParseOwn takes.
func (o Own) String() string {
	return strings.Join(append([]string{o.Kind + "=" + o.Place}, o.Fields...), " ")
}

// addOwn adds the probes on the user's own functions. The error wraps ErrOptions.
func (p *Plan) addOwn(k *Kernel) error {
	for _, o := range p.Options.Own {
		pr := Probe{Name: o.Kind, Says: "what your own function does", Without: "it is not seen", Rate: "each call of it"}
		for _, t := range table {
			if t.Name == o.Kind {
				pr.Return, pr.Says, pr.Without = t.Return, t.Says+"; this is your own function", t.Without
			}
		}
		place, later, err := k.resolve(o.Place)
		if err != nil {
			return fmt.Errorf("%w: probe %q: %w", ErrOptions, o, err)
		}
		pr.Symbols = []string{place}
		p.Choices = append(p.Choices, Choice{Probe: pr, Own: true, Later: later, Lines: []string{pr.define(p.ownName(o.Kind), place, strings.Join(o.Fields, " "))}})
	}
	return nil
}

// awaited says which modules are not loaded of which the user named functions.
func (p *Plan) awaited() []string {
	if p.Kernel == "" {
		return nil
	}
	var notes, modules []string
	functions := make(map[string][]string)
	for i := range p.Choices {
		if c := &p.Choices[i]; c.Later != "" {
			if functions[c.Later] == nil {
				modules = append(modules, c.Later)
			}
			functions[c.Later] = append(functions[c.Later], strings.TrimPrefix(c.Symbols[0], c.Later+":"))
		}
	}
	for _, m := range modules {
		notes = append(notes, fmt.Sprintf("the module %s is not loaded: nothing shows that it has %s, and probes wait until it is", m, strings.Join(functions[m], ", ")))
	}
	return notes
}

// resolve looks a function up, and gives it with its module. later names the module if it is not loaded, or if that is not known.
func (k *Kernel) resolve(place string) (full, later string, err error) {
	m := placePattern.FindStringSubmatch(place)
	if m == nil {
		return "", "", fmt.Errorf("got %q, want a function: [MODULE:]FUNCTION[+OFFSET]", place)
	}
	module, name, offset := strings.ReplaceAll(m[1], "-", "_"), m[2], m[3]
	if module == "" && k == nil {
		return place, "", nil
	}
	if module != "" && (k == nil || !k.hasModule(module)) {
		return module + ":" + name + offset, module, nil
	}
	var found []symbol
	for _, s := range k.named(name) {
		if !s.data && (module == "" || s.module == module) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1 || len(found) > 1 && found[0].module == "" && module == "":
		return found[0].place() + offset, "", nil
	case len(found) > 1:
		return "", "", fmt.Errorf("%d functions are called %s: name the module of the one, such as %s", len(found), name, found[0].place())
	}
	where := "the kernel"
	if module != "" {
		where = "the module " + module
	}
	var near []string
	for i := range k.symbols {
		if s := &k.symbols[i]; !s.data && (module == "" || s.module == module) && len(s.name) > 2 && len(name) > 2 && s.name[:3] == name[:3] {
			near = append(near, s.name)
		}
	}
	return "", "", fmt.Errorf("%s has no function %s%s", where, name, evtchn.Suggest(name, near))
}
