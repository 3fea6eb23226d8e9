package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/compare"
	"github.com/evtrace/evtrace/analyze/doctor"
	"github.com/evtrace/evtrace/cmd/evtrace/page"
	"github.com/evtrace/evtrace/cmd/evtrace/schema"
)

var updateSchemas = flag.Bool("update", false, "rewrite docs/schema")

// reportType is what a verb writes with --json, and command lines that write it: a file in the folder of the test is %NAME.
type reportType struct {
	name  string
	of    reflect.Type
	lines []string
}

// reportTypes is everything that --json writes. A name is a verb's, perhaps with what it was asked for.
var reportTypes = []reportType{
	{"analyze", reflect.TypeFor[analyze.Report](), []string{"analyze %a.evt", "analyze %clean.evt", "analyze %capture", "analyze %domu"}},
	{"check", reflect.TypeFor[checkReport](), []string{"check %a.evt", "check %cut.evt", "check %a.txt"}},
	{"compare", reflect.TypeFor[compare.Comparison](), []string{"compare %a.evt --policy linux-2021", "compare %a.evt %a.evb", "compare %a.evt %clean.evt"}},
	{"demo", reflect.TypeFor[demoReport](), []string{"demo"}},
	{"doctor", reflect.TypeFor[doctor.Report](), []string{"doctor %dump.txt", "doctor %first.txt"}},
	{"explore", reflect.TypeFor[exploreReport](), []string{"explore --scenario write-back", "explore --scenario write-back --every", "explore --scenario write-back --policy linux-2021"}},
	{"explore-several", reflect.TypeFor[[]exploreReport](), []string{"explore --scenario write-back --policy xen-2005,linux-2021"}},
	{"explore-around", reflect.TypeFor[aroundReport](), []string{"explore --around %rebind.evt --quiet", "explore --around %moved.evt --quiet"}},
	{"explore-random", reflect.TypeFor[randomReport](), []string{"explore --random 5 --scenario write-back --quiet", "explore --random 3 --pct 2 --scenario seed-port65 --quiet"}},
	{"import", reflect.TypeFor[recordSummary](), []string{"import -q %capture -o %new.evt --force", "import -q %a.txt -o %new.evt --force"}},
	{"info", reflect.TypeFor[infoReport](), []string{"info %a.evt", "info %a.txt", "info %capture"}},
	{"minimize", reflect.TypeFor[minimizeReport](), []string{"minimize -q %a.evt", "minimize -q %rebind.evt", "minimize -q %capture"}},
	{"policies", reflect.TypeFor[[]policyInfo](), []string{"policies", "policies linux-2021 unmask=always"}},
	{"probes", reflect.TypeFor[probesReport](), []string{"probes --kernel %kernel"}},
	{"query", reflect.TypeFor[countReport](), []string{"query %a.evt port==65 --count", "query %a.evt port==65 --group-by kind"}},
	{"record", reflect.TypeFor[recordSummary](), []string{"record -q --scenario clean --duration 5ms -o %new.evt --force"}},
	{"redact", reflect.TypeFor[redactReport](), []string{"redact %a.evb -o %public.evb --force", "redact %capture -o %public.evb --force"}},
	{"replay", reflect.TypeFor[analyze.PolicyReport](), []string{"replay %a.evt", "replay %a.evt --policy all", "replay %capture --policy linux-2021"}},
	{"report", reflect.TypeFor[page.Document](), []string{"report %a.evt", "report %clean.evt", "report %capture"}},
	{"scenarios", reflect.TypeFor[[]scenarioInfo](), []string{"scenarios", "scenarios clean write-back"}},
	{"scenarios-fields", reflect.TypeFor[[]fieldInfo](), []string{"scenarios --fields"}},
	{"verify", reflect.TypeFor[verifyReport](), []string{"verify %a.evb %fixtures", "verify %bad.evb"}},
	{"version", reflect.TypeFor[versionInfo](), []string{"version"}},
}

// title says in the schema of what it is one.
func (r *reportType) title() string {
	switch r.name {
	case "explore-several":
		return "evtrace explore --json, of several systems"
	case "explore-around":
		return "evtrace explore --around --json"
	case "explore-random":
		return "evtrace explore --random --json"
	case "scenarios-fields":
		return "evtrace scenarios --fields --json"
	}
	return "evtrace " + r.name + " --json"
}

// enums are the words of the types that have a fixed set of them.
var enums = schema.Enums{
	reflect.TypeFor[analyze.Verdict](): verdicts,
	reflect.TypeFor[analyze.Kind]():    findingKinds,
}

func schemaText(t *testing.T, r *reportType) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema.Of(r.title(), r.of, enums)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSchemaFiles: docs/schema is what the types of the reports make it, and every verb with --json has one.
func TestSchemaFiles(t *testing.T) {
	dir := filepath.Join(repoRoot(t), "docs", "schema")
	want := make(map[string]bool)
	for i := range reportTypes {
		r := &reportTypes[i]
		file := filepath.Join(dir, r.name+".json")
		want[filepath.Base(file)] = true
		text := schemaText(t, r)
		if *updateSchemas {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, text) {
			t.Errorf("docs/schema/%s.json is not what the report's type makes it (%v): go test ./cmd/evtrace -run TestSchemaFiles -update", r.name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !want[e.Name()] && filepath.Ext(e.Name()) == ".json" {
			t.Errorf("docs/schema/%s is of no report", e.Name())
		}
	}
	for _, c := range newRoot(&app{}).Commands() {
		if c.Flags().Lookup("json") != nil && !want[c.Name()+".json"] {
			t.Errorf("%s has --json, and no schema", c.Name())
		}
	}
}

// TestSchemas holds what the verbs write to the schemas that are in docs.
func TestSchemas(t *testing.T) {
	if raceDetector {
		t.Skip("it runs what other tests run in this process")
	}
	dir, root := t.TempDir(), repoRoot(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, 0, "record", "-q", "--scenario", "seed-port65", "--duration", "125ms", "-o", in("a.evt"))
	must(t, 10, "explore", "-q", "--scenario", "stale-notify", "--policy", "linux-2021", "-o", in("rebind.evt"))
	must(t, 0, "record", "-q", "--scenario", "rebind-race", "--duration", "9ms", "--seed", "8", "-o", in("moved.evt"))
	must(t, 0, "record", "-q", "--scenario", "clean", "--duration", "5ms", "-o", in("clean.evt"))
	must(t, 0, "export", in("a.evt"), "-o", in("a.txt"))
	must(t, 0, "bundle", in("a.evt"), "--policy", "linux-2021", "-o", in("a.evb"))
	for from, to := range map[string]string{"a.evt": "cut.evt", "a.evb": "bad.evb"} {
		data, err := os.ReadFile(in(from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(to), data[:len(data)/2], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		"capture": filepath.Join(root, "fixtures", "2l-bugkernel-small"), "fixtures": filepath.Join(root, "fixtures", "rescued"), "domu": "",
		"dump.txt": filepath.Join(root, "cmd/evtrace/testdata/dumps/2l-lost.txt"), "first.txt": filepath.Join(root, "cmd/evtrace/testdata/dumps/2l-load.txt"),
		"kernel": in("System.map"),
	}
	if err := os.WriteFile(in("System.map"), []byte("ffffffff81700000 T xen_evtchn_do_upcall\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if traces := capturesDir(t); traces != "" {
		files["domu"] = filepath.Join(traces, "2l-domu")
	}
	for i := range reportTypes {
		r := &reportTypes[i]
		var s schema.Schema
		data, err := os.ReadFile(filepath.Join(root, "docs", "schema", r.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := unmarshalSchema(data, &s); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		done := 0
		for _, line := range r.lines {
			args := strings.Fields(line)
			missing := false
			for i, arg := range args {
				if name, ok := strings.CutPrefix(arg, "%"); ok {
					file, given := files[name]
					if !given {
						file = in(name)
					}
					args[i] = file
					missing = missing || file == ""
				}
			}
			if missing {
				continue
			}
			done++
			got := evtrace(t, append(args, "--json")...)
			if !strings.HasPrefix(got.out, "{\n") && !strings.HasPrefix(got.out, "[\n") {
				t.Errorf("evtrace %s --json: exit code %d, no report:\n%s", line, got.code, got.err)
				continue
			}
			if wrong := schema.Check(&s, []byte(got.out)); len(wrong) > 0 {
				t.Errorf("evtrace %s --json: exit code %d, not by docs/schema/%s.json:\n%s\n%s", line, got.code, r.name, strings.Join(wrong[:min(len(wrong), 12)], "\n"), got.err)
			}
		}
		if done == 0 {
			t.Errorf("%s: nothing was written", r.name)
		}
	}
}

// unmarshalSchema reads a schema. additionalProperties is a schema, or false.
func unmarshalSchema(data []byte, s *schema.Schema) error {
	if err := json.Unmarshal(data, s); err != nil {
		return err
	}
	return schema.Settle(s)
}
