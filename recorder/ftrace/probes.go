package ftrace

import (
	"fmt"
	"strings"
)

// need is a record that a verdict about the 2-level ABI cannot do without.
type need struct {
	name   string // of the record
	symbol string // the kernel's function
	def    string // what defines the probe
	what   string // what is not known without it
}

// needs is what docs/capture.md calls necessary. Everything else is deduced where it is missing.
var needs = [...]need{
	{"unmask", "evtchn_2l_unmask", "p:evtrace/unmask evtchn_2l_unmask port=%di:u32", "whether and where ports were unmasked"},
	{"mask", "evtchn_2l_mask", "p:evtrace/mask evtchn_2l_mask port=%di:u32", "which ports were masked"},
	{"clear", "evtchn_2l_clear_pending", "p:evtrace/clear evtchn_2l_clear_pending port=%di:u32", "when ports ceased to be pending"},
	{"upcall", "xen_evtchn_do_upcall", "p:evtrace/upcall xen_evtchn_do_upcall", "when a vcpu was made to look"},
	{"upcall_ret", "xen_evtchn_do_upcall's return", "r:evtrace/upcall_ret xen_evtchn_do_upcall", "when a vcpu had done looking"},
	{"scan", "evtchn_2l_handle_events", "p:evtrace/scan evtchn_2l_handle_events cpu=%di:u32", "which vcpu looked, and turned away from a port"},
}

// proof counts what shows that records of a kind are missing from the whole capture: each is something that cannot be without one.
type proof struct {
	unmask uint64 // a port was masked, and then delivered
	eoi    uint64 // the end of a handler that keeps its port masked meanwhile
	device uint64 // such a handler
	clear  uint64 // a handler ran whose port is always cleared before
}

// probesIn gives the names of the events that a list of probe definitions defines ("p:evtrace/unmask evtchn_2l_unmask port=%di:u32"), of
// those that the importer knows.
func probesIn(list string) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") {
			continue
		}
		_, name, ok := strings.Cut(f[0], ":")
		if !ok {
			continue
		}
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			name = name[i+1:]
		}
		if spec, known := probeNamed(name); known {
			names[spec.kind] = true
		}
	}
	return names
}

// unprobed lists the needs of which the capture has no record, although there was something to record: the list of probes says that
// they were not probed for; or the records themselves show it. A capture in which nothing was masked has no unmask, and
// misses nothing.
func (im *Importer) unprobed() []*need {
	if im.inf.fifo {
		return nil
	}
	n := make(map[string]uint64)
	for i, spec := range im.names.spec {
		n[spec.kind] += im.names.count[i]
	}
	pr := &im.inf.proof
	handlers := im.inf.counts.handlers // known from irq_handler_entry alone
	looks := n["upcall"] + n["scan"] + n["deliver"] + n["clear"] + handlers
	known := handlers
	for name, spec := range probeByName {
		if spec.id != prIRQEntry && spec.id != prIRQExit {
			known += n[name]
		}
	}
	if known == 0 {
		return nil // it is no capture of event channels at all
	}
	listed := probesIn(im.side.Probes)
	shown := map[string]bool{
		"unmask":     pr.unmask > 0 || pr.eoi > 1,
		"mask":       pr.device+pr.eoi > 0,
		"clear":      pr.clear > 0,
		"upcall":     looks > 1,
		"upcall_ret": n["upcall"] > uint64(im.head.cpus),
		"scan":       looks > 1,
	}
	var list []*need
	for i := range needs {
		d := &needs[i]
		if n[d.name] == 0 && (shown[d.name] || len(listed) > 0 && !listed[d.name]) {
			list = append(list, d)
		}
	}
	return list
}

func (d *need) note() string {
	return fmt.Sprintf("no record of %s: %s is not known; define %s (docs/capture.md)", d.symbol, d.what, d.def)
}
