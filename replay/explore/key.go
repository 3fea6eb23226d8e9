package explore

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// keys writes worlds as keys, and makes worlds of keys. A key holds all that decides what can happen next and how it is judged.
type keys struct {
	sys *System
	m   *evtchn.Keys
}

func newKeys(s *System, symmetric bool) *keys {
	return &keys{sys: s, m: evtchn.NewKeys(s.ready.m, symmetric)}
}

// append appends the key of a world.
func (k *keys) append(b []byte, w *World) []byte {
	for t := range w.tasks {
		tk := &w.tasks[t]
		b = append(b, tk.op|uint8(tk.step)<<4|flag(tk.asleep)<<6)
		if tk.step == toWrite {
			b = append(b, tk.batch)
		}
	}
	for i := range w.ports {
		p := &w.ports[i]
		b = append(b, p.left|flag(p.data)<<4|flag(p.usable)<<5, byte(p.port))
	}
	if w.sys.ticking {
		b = append(b, w.ticks...)
		b = append(b, byte(w.ticked))
	}
	if w.sys.b.Preempt > 0 {
		b = append(b, w.preempts)
	}
	return k.m.Append(b, w.m)
}

// load makes w the world that the key was made of, and gives what follows the key.
func (k *keys) load(w *World, b []byte) ([]byte, error) {
	short := len(w.tasks) + 2*len(w.ports) + len(w.ticks) + 2
	if len(b) < short {
		return nil, fmt.Errorf("explore: a key of %d bytes is too short", len(b))
	}
	for t := range w.tasks {
		c := b[0]
		b = b[1:]
		w.tasks[t] = task{op: c & 15, step: serveStep(c >> 4 & 3), asleep: c>>6&1 != 0}
		if w.tasks[t].step == toWrite {
			w.tasks[t].batch, b = b[0], b[1:]
		}
	}
	for i := range w.ports {
		w.ports[i] = port{left: b[0] & 15, data: b[0]>>4&1 != 0, usable: b[0]>>5&1 != 0, port: evtchn.Port(b[1])}
		b = b[2:]
	}
	if w.sys.ticking {
		n := copy(w.ticks, b)
		w.ticked, b = uint64(b[n]), b[n+1:]
	}
	if w.sys.b.Preempt > 0 {
		w.preempts, b = b[0], b[1:]
	}
	return k.m.Load(w.m, b)
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
