package arrows

// module is the path of the module that the rules are about. Patterns are relative to it: "store" is one package, "store/..."
// is that package and all below it.
const module = "github.com/evtrace/evtrace"

// arrow says what the packages of a pattern may import.
type arrow struct {
	from string   // the first pattern that fits a package decides
	to   []string // patterns: what it may import of this module, besides packages that its own pattern covers
	deps []string // modules outside the standard library; "*": any
}

// arrows is the layout, from the leaf to the root.
var arrows = []arrow{
	{from: "evtchn"},
	{from: "evtchn/text", to: []string{"evtchn"}},
	{from: "evtchn/dump", to: []string{"evtchn"}},
	{from: "evtchn/dump/dumptest", to: []string{"evtchn", "evtchn/dump"}},
	{from: "evtchn/system", to: []string{"evtchn"}, deps: []string{"go.yaml.in/yaml/v3"}},
	{from: "evtchn/evtchntest", to: []string{"evtchn"}, deps: []string{"*"}},
	{from: "recorder/ftrace/tracedat/tracedattest", deps: []string{"github.com/klauspost/compress"}},
	{from: "recorder/ftrace/tracedat", deps: []string{"github.com/klauspost/compress"}},
	{from: "recorder/...", to: []string{"evtchn/..."}, deps: []string{"*"}},
	{from: "store/...", to: []string{"evtchn/..."}, deps: []string{"*"}},
	{from: "replay/...", to: []string{"evtchn/..."}, deps: []string{"*"}},
	{from: "analyze/profile", to: []string{"evtchn", "analyze"}, deps: []string{"github.com/google/pprof/profile"}},
	{from: "analyze/perfetto", to: []string{"evtchn", "analyze"}, deps: []string{"google.golang.org/protobuf/encoding/protowire"}},
	{from: "analyze/...", to: []string{"evtchn/...", "replay/..."}, deps: []string{"*"}},
	{from: "tui/...", to: []string{"evtchn/...", "replay/...", "analyze/..."}, deps: []string{"*"}},
	{from: "cmd/evtrace/page", to: []string{"evtchn/...", "replay/...", "analyze/...", "tui/timeline"}},
	{from: "cmd/evtrace/...", to: []string{"evtchn/...", "recorder/...", "store/...", "replay/...", "analyze/...", "tui/...", "fixtures"}, deps: []string{"*"}},
	{from: "fixtures"},
	{from: "internal/arrows"},
}

// pure are the packages whose output depends on their input alone.
var pure = []string{"evtchn/...", "replay/...", "analyze/...", "cmd/evtrace/page"}

// notPure are imports by which a package gets at the world. A pattern ending in /... covers what is below it.
var notPure = []string{"os/...", "net/...", "syscall", "io/ioutil", "log/...", "crypto/rand", "math/rand", "runtime/debug", "plugin"}

// clocks are the functions of package time that read or wait for the clock. The type Duration and its parser are harmless.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// seeded are the functions of math/rand and math/rand/v2 that do not draw from the global generator.
var seeded = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf"}

// openers may import os: they open files, or wire those that do. The recorder itself takes sources that are open.
var openers = []string{"cmd/evtrace/...", "store", "recorder/*"}

// vague are names that say nothing about what a package holds.
var vague = []string{"util", "utils", "common", "types", "helper", "helpers", "misc", "shared"}

// maxLines is the most that a Go file may have. At that length it holds more than one noun.
const maxLines = 800
