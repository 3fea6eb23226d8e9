package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Format is the version of the layout. Newer ones are refused.
const Format = 1

// Names of the parts that a bundle must have.
const (
	ManifestName = "manifest.json"
	ReportName   = "report.md"
	ExpectName   = "expect.yaml"
	TraceName    = "trace.txt.zst"
)

// Bounds of a bundle.
const (
	maxManifest = 1 << 20 // bytes
	maxParts    = 64
	maxSize     = 1<<32 - 1<<20 // bytes of the archive: ZIP has four for an offset

	// MaxText is the most that a trace may unpack to, in bytes.
	MaxText = 64 << 30
)

// Manifest is what a bundle says of itself: its manifest.json. Write fills in Format, Parts and Chain.
type Manifest struct {
	Format      int      `json:"format"`
	Tool        string   `json:"tool"`         // what made it, such as "evtrace 0.1.0"
	TraceFormat int      `json:"trace_format"` // of the trace: evtchn.FormatVersion
	Source      string   `json:"source"`       // of the trace: sim or observed
	Events      uint64   `json:"events"`
	TextBytes   int64    `json:"text_bytes"` // that the trace unpacks to
	Scenario    string   `json:"scenario,omitempty"`
	Seed        uint64   `json:"seed,omitempty"`
	Policy      string   `json:"policy,omitempty"`   // that the trace was recorded under
	Policies    []Policy `json:"policies,omitempty"` // that one and those of the expectation, with what they meant
	Verdict     string   `json:"verdict"`            // that the trace must give
	Redacted    bool     `json:"redacted,omitempty"` // names and what does not matter were taken out of the trace
	Parts       []Part   `json:"parts"`
	Chain       string   `json:"chain"` // a SHA-256: see Manifest.chain
}

// Policy is a policy with what it meant to the tool that made the bundle.
type Policy struct {
	Policy string `json:"policy"`
	Digest string `json:"digest"` // evtchn.Policy.Digest
}

// Part is a file of a bundle, as the manifest has it.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// encode gives the manifest's one spelling.
func (m *Manifest) encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		panic("bundle: internal error: " + err.Error()) // numbers and strings alone
	}
	return b.Bytes()
}

// chain binds the fields of the manifest to its parts. It begins with the SHA-256 of the manifest without parts and chain; each link
// is the SHA-256 of the line "LINK SHA256 NAME" for a part, all in hexadecimal.
func (m *Manifest) chain() string {
	head := *m
	head.Parts, head.Chain = []Part{}, ""
	link := sum(head.encode())
	for _, p := range m.Parts {
		link = sum([]byte(link + " " + p.SHA256 + " " + p.Name + "\n"))
	}
	return link
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// decode reads a manifest. Of a newer one it says so, whatever else is in it.
func decode(data []byte) (*Manifest, error) {
	var v struct {
		Format int    `json:"format"`
		Tool   string `json:"tool"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, damaged(ManifestName, "it is no JSON: %v", err)
	}
	if v.Format > Format {
		return nil, fmt.Errorf("%w: %s is of format %d, and was made by %.60q; this evtrace reads up to format %d", ErrVersion, ManifestName, v.Format, v.Tool, Format)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	m := new(Manifest)
	if err := dec.Decode(m); err != nil {
		return nil, damaged(ManifestName, "%v", err)
	}
	if at := difference(data, m.encode()); at >= 0 {
		return nil, damaged(ManifestName, "byte %d is not as evtrace writes it", at)
	}
	if err := m.check(); err != nil {
		return nil, damaged(ManifestName, "%v", err)
	}
	if got := m.chain(); got != m.Chain {
		return nil, damaged(ManifestName, "its fields give the chain %.12s..., but it says %.12q: it was changed after the bundle was made", got, m.Chain)
	}
	return m, nil
}

// plainName is what a part may be called: a name that is one on every system, and no way out of a folder.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// check holds the manifest to the bounds.
func (m *Manifest) check() error {
	switch {
	case m.Format < 1:
		return fmt.Errorf("format: got %d, want 1 to %d", m.Format, Format)
	case m.TextBytes < 0 || m.TextBytes > MaxText:
		return fmt.Errorf("text_bytes: got %d, want 0 to %d", m.TextBytes, int64(MaxText))
	case len(m.Parts) > maxParts:
		return fmt.Errorf("%d parts, want at most %d", len(m.Parts), maxParts)
	}
	for i, want := range []string{ReportName, ExpectName, TraceName} {
		if i >= len(m.Parts) || m.Parts[i].Name != want {
			return fmt.Errorf("part %d: want %s", i+1, want)
		}
	}
	seen := map[string]bool{ManifestName: true}
	for i, p := range m.Parts {
		switch key := strings.ToLower(p.Name); {
		case !plainName.MatchString(p.Name):
			return fmt.Errorf("part %.60q: want a plain name of letters, digits, dots, dashes and underscores", p.Name)
		case seen[key]:
			return fmt.Errorf("part %s is there twice", p.Name)
		case i > 3 && p.Name < m.Parts[i-1].Name:
			return fmt.Errorf("part %s comes after %s: want side files in the order of their names", p.Name, m.Parts[i-1].Name)
		case p.Size < 0 || p.Size > maxSize:
			return fmt.Errorf("part %s: size %d, want 0 to %d", p.Name, p.Size, int64(maxSize))
		default:
			seen[key] = true
		}
	}
	return nil
}

// difference gives the first place where two texts differ, -1 if they are the same.
func difference(a, b []byte) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

// File is what becomes a part: its name and its content, which is read twice.
type File struct {
	Name string
	Data *io.SectionReader
}

// Text makes a file of what is in memory.
func Text(name string, data []byte) File {
	return File{name, io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))}
}
