package dumptest

import (
	"fmt"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// Style is how a dump is pasted.
type Style struct {
	Old    bool   // the forms of 2008
	XEN    bool   // (XEN) before each line
	Stamps string // "", "boot", "date", "outer" (a date before Xen's mark), "syslog", "journal"
	Quote  string // before each line, such as "> > "
	Wrap   int    // columns after which a mail program breaks lines; 0: it does not
	CRLF   bool
	Colour bool   // escape sequences
	Fence  bool   // in a code fence, indented
	Squash bool   // runs of spaces made one, as HTML does
	Noise  bool   // other lines in between
	Label  string // XSM label of each port
	QP     bool   // quoted-printable
}

// Printer writes samples as text. Its clock goes on from one to the next.
type Printer struct {
	Style
	now float64 // seconds
	n   int
}

// Print writes what the dumps of a sample look like, after a pause of some seconds.
func (p *Printer) Print(ds []*dump.Dump, pause float64) string {
	p.now += pause
	var b strings.Builder
	if p.Fence {
		b.WriteString(p.Quote + "```\n")
	}
	var last dump.Source = 99
	for _, d := range ds {
		if d.Source != last {
			last = d.Source
			switch d.Source {
			case dump.KeyE:
				p.line(&b, "'e' pressed -> dumping event-channel info")
			case dump.KeyQ:
				p.line(&b, fmt.Sprintf("'q' pressed -> dumping domain info (now = %d)", int64(p.now*1e9)))
			}
		}
		if d.Source == dump.KeyQ {
			p.vcpus(&b, d)
		} else {
			p.ports(&b, d)
		}
	}
	if last == dump.KeyQ {
		for _, d := range ds {
			for i := range d.VCPUs {
				p.line(&b, fmt.Sprintf("Notifying guest %d:%d (virq 1, port 0)", d.Domain, d.VCPUs[i].ID))
			}
		}
	}
	if p.Fence {
		b.WriteString(p.Quote + "```\n")
	}
	return b.String()
}

func (p *Printer) ports(b *strings.Builder, d *dump.Dump) {
	var polling []string
	mask := uint64(0)
	for _, v := range d.Pollers {
		polling = append(polling, fmt.Sprint(v))
		mask |= 1 << v
	}
	if p.Old {
		p.line(b, fmt.Sprintf("Domain %d polling vCPUs: %08x", d.Domain, mask))
		p.line(b, fmt.Sprintf("Event channel information for domain %d:", d.Domain))
		p.line(b, "    port [p/m]")
	} else {
		p.line(b, fmt.Sprintf("Event channel information for domain %d:", d.Domain))
		p.line(b, "Polling vCPUs: {"+strings.Join(polling, ",")+"}")
		p.line(b, "    port [p/m/s]")
	}
	for i := range d.Ports {
		p.line(b, p.row(&d.Ports[i]))
		if p.Noise && (i+p.n)%7 == 3 {
			p.line(b, [...]string{"d0v1 Unhandled rdmsr 0x00000034", "grant_table.c:1861:d0v2 Expanding d1 grant table from 28 to 29 frames",
				"mm.c:1234:d0v0 pg_owner d1 l1e_owner d1, but real_pg_owner d0"}[i%3])
		}
	}
}

func (p *Printer) row(r *dump.Port) string {
	var inner string
	switch {
	case p.Old:
	case r.Link != dump.LinkUnknown:
		busy := ' '
		if r.Busy {
			busy = 'B'
		}
		link := "-"
		switch r.Link {
		case dump.Linked:
			link = fmt.Sprint(r.Next)
		case dump.NoPage:
			link = "?"
		}
		inner = fmt.Sprintf("/%c %-4s", busy, link)
	default:
		inner = "/" + r.Sel.String()
	}
	s := fmt.Sprintf("    %4d [%s/%s%s]: s=%d n=%d", r.Port, r.Pending, r.Masked, inner, r.Status, r.Notify)
	x := fmt.Sprintf(" x=%d", r.Consumer)
	if !p.Old {
		s += x
	}
	switch r.Status {
	case evtchn.PortUnbound:
		s += fmt.Sprintf(" d=%d", r.Remote)
	case evtchn.PortInterdomain:
		s += fmt.Sprintf(" d=%d p=%d", r.Remote, r.RemotePort)
	case evtchn.PortPIRQ:
		s += fmt.Sprintf(" p=%d", r.PIRQ)
		if !p.Old {
			s += fmt.Sprintf(" i=%d", r.PIRQ)
		}
	case evtchn.PortVIRQ:
		s += fmt.Sprintf(" v=%d", r.VIRQ)
	}
	if p.Old {
		s += x
	}
	if p.Label != "" {
		s += " Z=" + p.Label
	}
	return s
}

func (p *Printer) vcpus(b *strings.Builder, d *dump.Dump) {
	p.line(b, fmt.Sprintf("General information for domain %d:", d.Domain))
	p.line(b, fmt.Sprintf("    refcnt=3 dying=%s pause_count=0", d.Dying))
	p.line(b, "    nr_pages=786432 xenheap_pages=2 dirty_cpus={0-3} max_pages=786432")
	p.line(b, fmt.Sprintf("VCPU information and callbacks for domain %d:", d.Domain))
	for i := range d.VCPUs {
		v := &d.VCPUs[i]
		has := "F"
		if v.Running == evtchn.One {
			has = "T"
		}
		if p.Old {
			p.line(b, fmt.Sprintf("    VCPU%d: CPU%d [has=%s] flags=%x poll=%d upcall_pend = %02d, upcall_mask = %02d dirty_cpus={%d} cpu_affinity={0-3}",
				v.ID, v.CPU, has, v.Flags, v.Poll, v.Up, v.Umask, v.CPU))
			continue
		}
		p.line(b, fmt.Sprintf("  UNIT%d affinities: hard={0-3} soft={0-3}", v.ID))
		p.line(b, fmt.Sprintf("    VCPU%d: CPU%d [has=%s] poll=%d upcall_pend=%02d upcall_mask=%02d dirty_cpu=%d", v.ID, v.CPU, has, v.Poll, v.Up, v.Umask, v.CPU))
		p.line(b, fmt.Sprintf("    pause_count=0 pause_flags=%x", v.Flags))
		p.line(b, "No periodic timer")
	}
}

// line writes a line of the console with everything around it.
func (p *Printer) line(b *strings.Builder, s string) {
	p.now += 0.000150
	p.n++
	sec := int(p.now)
	clock := fmt.Sprintf("%02d:%02d:%02d", 10+sec/3600, sec/60%60, sec%60)
	date := "2024-11-23 " + clock
	if p.XEN {
		switch p.Stamps {
		case "boot":
			s = fmt.Sprintf("[%12.6f] ", p.now) + s
		case "date":
			s = fmt.Sprintf("[%s.%03d] ", date, int(p.now*1000)%1000) + s
		}
		s = "(XEN) " + s
	}
	switch p.Stamps {
	case "outer":
		s = "[" + date + "] " + s
	case "syslog":
		s = "Nov 23 " + clock + " host xen[12]: " + s
	case "journal":
		s = "2024-11-23T" + clock + ".123456+0100 host xen-console[7]: " + s
	}
	if p.Squash {
		s = strings.Join(strings.Fields(s), " ")
	}
	if p.Fence {
		s = "    " + s
	}
	if p.Colour {
		s = "\x1b[0;33m" + s + "\x1b[m"
	}
	if p.QP {
		s = strings.ReplaceAll(s, "=", "=3D")
	}
	end := "\n"
	if p.CRLF {
		end = "\r\n"
	}
	for _, part := range p.wrap(s) {
		b.WriteString(p.Quote + part + end)
	}
}

// wrap breaks a line at the last space before the column.
func (p *Printer) wrap(s string) (parts []string) {
	for p.Wrap > 0 && len(s) > p.Wrap {
		i := strings.LastIndexByte(s[:p.Wrap], ' ')
		if i <= 0 || strings.TrimSpace(s[:i]) == "" {
			break
		}
		parts = append(parts, s[:i])
		s = s[i+1:]
	}
	return append(parts, s)
}
