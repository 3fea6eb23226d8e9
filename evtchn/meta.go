package evtchn

// FormatVersion is the version of what an Event means: kinds, arguments, and the text form. Files of a newer version are
// refused.
const FormatVersion = 1

// Meta is what a trace says about itself, apart from its events.
type Meta struct {
	Format    int     `json:"format"` // FormatVersion
	Tool      string  `json:"tool,omitempty"`
	Source    string  `json:"source"` // "sim" (complete) or "observed" (a capture: most steps of the hypervisor are missing)
	ABI       string  `json:"abi"`    // "2l" or "fifo"
	VCPUs     int     `json:"vcpus"`
	WordBits  int     `json:"word_bits"` // bits of an event word and of SEL: 64, 32, or less for exploration
	Clock     string  `json:"clock"`     // "virtual", or the trace clock of a capture
	Unit      string  `json:"unit"`      // of Event.Time: "ns" or "ticks"
	NsPerTick float64 `json:"ns_per_tick"`
	Complete  bool    `json:"complete"` // every event up to the end was written

	Policy   string   `json:"policy,omitempty"`   // policy in force while recording, as Policy.String gives it
	Scenario string   `json:"scenario,omitempty"` // the whole text of the scenario file
	Seed     uint64   `json:"seed,omitempty"`
	Schedule string   `json:"schedule,omitempty"` // of a bounded scenario: the choices that were made, as package replay/explore writes them
	Duration Time     `json:"duration,omitempty"` // where a simulation ended, even if nothing happened there
	Tasks    []string `json:"tasks,omitempty"`    // names of the tasks that contexts number

	Events  uint64            `json:"events,omitempty"`
	Gaps    uint64            `json:"gaps,omitempty"`    // events of kind gap
	Lost    uint64            `json:"lost,omitempty"`    // records known to be lost
	Origin  string            `json:"origin,omitempty"`  // base name of the capture
	Unknown []string          `json:"unknown,omitempty"` // names of records that the importer has no meaning for
	Notes   []string          `json:"notes,omitempty"`   // what an importer found missing, for the reader
	Counts  map[string]uint64 `json:"counts,omitempty"`  // importer's counts by record name

	Unprobed  []string `json:"unprobed,omitempty"`  // records that a verdict needs and that the capture was not set up to hold
	Unordered uint64   `json:"unordered,omitempty"` // records that stand far out of the order of their times

	// What an importer read.
	Lines    uint64 `json:"lines,omitempty"`     // of text
	Records  uint64 `json:"records,omitempty"`   // events of the kernel, those included that have no meaning here
	Broken   uint64 `json:"broken,omitempty"`    // what should be a record and cannot be read
	BrokenAt string `json:"broken_at,omitempty"` // the first of them: where it is, and what is wrong with it
	Ties     uint64 `json:"ties,omitempty"`      // records with the time of the one before them, which is another vcpu's
	Backward uint64 `json:"backward,omitempty"`  // records with a time before that of the one before them

	// Records that are not there, by name: what kprobe_profile counts as missed while the kernel ran (0 if it missed none; no name if it
	// does not tell), and what the capture itself proves.
	Missed  map[string]uint64 `json:"missed,omitempty"`
	Deduced map[string]uint64 `json:"deduced,omitempty"`
}

// Sources of a trace.
const (
	SourceSim      = "sim"
	SourceObserved = "observed"
)
