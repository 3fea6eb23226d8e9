package redact

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/evtrace/evtrace/evtchn/system"
)

// scenarioName is what a redacted scenario is called.
const scenarioName = "redacted"

// prose are the keys of a scenario that tell and do not steer.
var prose = map[string]bool{"about": true, "story": true, "source": true}

// scenario takes names, prose and comments out of a scenario's text, which is still the same system. secret gets what was
// taken out. The error says why that cannot be done.
func scenario(text string, secret func(what, from, to string)) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return "", fmt.Errorf("the scenario is no mapping")
	}
	root := doc.Content[0]
	var kept []*yaml.Node
	for k := 0; k+1 < len(root.Content); k += 2 {
		key, value := root.Content[k], root.Content[k+1]
		switch {
		case prose[key.Value]:
			secret("scenario's "+key.Value, value.Value, "")
			continue
		case key.Value == "name":
			if value.Value != scenarioName {
				secret("scenario", value.Value, scenarioName)
			}
			*value = yaml.Node{Kind: yaml.ScalarNode, Value: scenarioName}
		}
		kept = append(kept, key, value)
	}
	root.Content = kept
	names(root, secret)
	comments(&doc, secret)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return "", err
	}
	before, err := system.Parse("the trace's scenario", []byte(text))
	if err != nil {
		return "", err
	}
	after, err := system.Parse("the redacted scenario", b.Bytes())
	if err != nil {
		return "", err
	}
	if before.Bounded == nil && !reflect.DeepEqual(bare(before), bare(after)) {
		return "", fmt.Errorf("the scenario would be another one without its prose")
	}
	return b.String(), nil
}

// bare is a scenario without what is redacted.
func bare(sc *system.Scenario) system.Scenario {
	c := *sc
	c.Name, c.About, c.Story, c.Source, c.Text = "", "", "", "", ""
	return c
}

// names gives the ports and tasks of a bounded scenario other names, wherever they are mentioned.
func names(root *yaml.Node, secret func(what, from, to string)) {
	other := make(map[string]string)
	for k := 0; k+1 < len(root.Content); k += 2 {
		kind := root.Content[k].Value
		if kind != "ports" && kind != "tasks" {
			continue
		}
		for i, item := range root.Content[k+1].Content {
			for j := 0; j+1 < len(item.Content); j += 2 {
				if v := item.Content[j+1]; item.Content[j].Value == "name" && v.Kind == yaml.ScalarNode {
					to := fmt.Sprintf("%s-%d", strings.TrimSuffix(kind, "s"), i+1)
					other[v.Value] = to
					if v.Value != to {
						secret("scenario's "+strings.TrimSuffix(kind, "s"), v.Value, to)
					}
				}
			}
		}
	}
	if len(other) == 0 {
		return
	}
	var walk func(n *yaml.Node, value bool)
	walk = func(n *yaml.Node, value bool) {
		if n.Kind == yaml.ScalarNode && value {
			n.Value = word.ReplaceAllStringFunc(n.Value, func(w string) string {
				if to, ok := other[w]; ok {
					return to
				}
				return w
			})
		}
		for i, c := range n.Content {
			walk(c, n.Kind != yaml.MappingNode || i%2 == 1)
		}
	}
	for k := 0; k+1 < len(root.Content); k += 2 {
		if key := root.Content[k].Value; key != "kind" && key != "name" && key != "policy" {
			walk(root.Content[k+1], true)
		}
	}
}

// word is what a name is made of.
var word = regexp.MustCompile(`[A-Za-z0-9_.-]+`)

// comments takes them out.
func comments(n *yaml.Node, secret func(what, from, to string)) {
	for _, c := range []*string{&n.HeadComment, &n.LineComment, &n.FootComment} {
		if *c != "" {
			secret("scenario's comment", *c, "")
			*c = ""
		}
	}
	for _, c := range n.Content {
		comments(c, secret)
	}
}
