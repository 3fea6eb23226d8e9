package system

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
	"go.yaml.in/yaml/v3"
)

// Override makes a copy of a scenario with another number of vcpus, of domains, or another duration; 0 leaves what it is. The
// domains are shared out among the scenario's groups in proportion to their counts. The copy's Text says the same as the copy,
// so that a trace that keeps the text can be replayed. Errors are of class ErrScenario.
func (sc *Scenario) Override(vcpus, domains int, duration evtchn.Time) (*Scenario, error) {
	refuse := func(format string, args ...any) (*Scenario, error) {
		return nil, fmt.Errorf("%w: %s: %s", ErrScenario, sc.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case vcpus < 0 || vcpus > evtchn.MaxVCPUs:
		return refuse("vcpus: got %d, want 1 to %d", vcpus, evtchn.MaxVCPUs)
	case domains < 0 || domains > maxPort:
		return refuse("domains: got %d, want 1 to %d", domains, maxPort)
	case duration < 0:
		return refuse("duration: got %s, want more than 0", units(int64(duration)))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(sc.Text), &doc); err != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return refuse("its text is not that of a scenario file, which is what an override changes")
	}
	root := doc.Content[0]
	if vcpus > 0 {
		setKey(root, "vcpus", strconv.Itoa(vcpus))
	}
	if duration > 0 {
		setKey(root, "duration", units(int64(duration)))
	}
	if domains > 0 {
		counts, err := sc.share(domains)
		if err != nil {
			return refuse("%v", err)
		}
		groups := valueOf(root, "domains")
		if groups == nil || len(groups.Content) != len(counts) {
			return refuse("its text does not have its %d groups of domains", len(counts))
		}
		for i, n := range counts {
			setKey(groups.Content[i], "count", strconv.Itoa(n))
		}
	}
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return refuse("%v", err)
	}
	changed, err := Parse(sc.Name, text.Bytes())
	if err != nil {
		return nil, err
	}
	// The YAML package writes what it read in a layout of its own. Make sure that this changed nothing else.
	want := *sc
	want.Text, want.VCPUs, want.Duration, want.Domains = changed.Text, changed.VCPUs, changed.Duration, changed.Domains
	if !reflect.DeepEqual(&want, changed) {
		return refuse("its text says something else than it does: override it before changing it")
	}
	return changed, nil
}

// share divides a number of domains among the groups in proportion to their counts, by largest remainder.
func (sc *Scenario) share(domains int) ([]int, error) {
	total := 0
	for i := range sc.Domains {
		total += sc.Domains[i].Count
	}
	if total == 0 {
		return nil, fmt.Errorf("domains: it has none, so there is nothing to make %d of", domains)
	}
	counts, rest := make([]int, len(sc.Domains)), make([]int, len(sc.Domains))
	left := domains
	for i := range counts {
		n := domains * sc.Domains[i].Count
		counts[i], rest[i] = n/total, n%total
		left -= counts[i]
	}
	for ; left > 0; left-- {
		most := 0
		for i := range rest {
			if rest[i] > rest[most] {
				most = i
			}
		}
		counts[most]++
		rest[most] = -1
	}
	return counts, nil
}

func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for k := 0; k+1 < len(mapping.Content); k += 2 {
		if mapping.Content[k].Value == key {
			return mapping.Content[k+1]
		}
	}
	return nil
}

// setKey gives a key of a mapping a plain value, and adds the key if it is not there.
func setKey(mapping *yaml.Node, key, value string) {
	if n := valueOf(mapping, key); n != nil {
		n.Kind, n.Style, n.Tag, n.Value, n.Content = yaml.ScalarNode, 0, "", value, nil
		return
	}
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &yaml.Node{Kind: yaml.ScalarNode, Value: value})
}
