package analyze

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// Requests says what became of the I/O requests of the HVM domains that the traced domain's device models serve.
type Requests struct {
	Made   uint64 `json:"made"`
	Served uint64 `json:"served"`
	Open   uint64 `json:"open"` // made and not served when the trace ends
	Hung   uint64 `json:"hung"` // of those, open for more than four times as long as the slowest that was served took
}

// requestTrack follows the requests of one domain.
type requestTrack struct {
	open    []step      // made and not served, the oldest first
	dropped step        // a send of the domain that came while its channel was unbound
	port    evtchn.Port // its end here, once there is one
	bound   step
}

func (a *Analyzer) domain(id uint64) *requestTrack {
	for uint64(len(a.domains)) <= id&0xffff {
		a.domains = append(a.domains, nil)
	}
	if a.domains[id&0xffff] == nil {
		a.domains[id&0xffff] = &requestTrack{}
	}
	return a.domains[id&0xffff]
}

// noteRequest follows the requests of domains, and sends that no channel took.
func (a *Analyzer) noteRequest(ev *evtchn.Event) {
	switch ev.Kind {
	case evtchn.KindIOReq:
		d := a.domain(ev.Args[0])
		switch evtchn.IOReqState(ev.Args[1]) {
		case evtchn.IOReqReady:
			d.open = append(d.open, a.step(ev, evtchn.NoVCPU))
			a.requests.Made++
		case evtchn.IOReqRespReady:
			if len(d.open) > 0 {
				a.slowestRequest = max(a.slowestRequest, ev.Time-d.open[0].at)
				d.open = append(d.open[:0], d.open[1:]...)
			}
			d.dropped = step{}
			a.requests.Served++
		}
	case evtchn.KindSend:
		if d := a.domain(ev.Args[0]); ev.Port == evtchn.NoPort && len(d.open) > 0 && !d.bound.ok() {
			d.dropped = a.step(ev, evtchn.NoVCPU)
		}
	case evtchn.KindPortBind:
		if dom := ev.Args[2] >> 32; evtchn.PortStatus(ev.Args[0]) == evtchn.PortInterdomain && dom != 0 && dom <= 0xffff {
			d := a.domain(dom)
			d.port, d.bound = ev.Port, a.step(ev, evtchn.NoVCPU)
		}
	}
}

// finishRequests finds the domains that wait for an answer to a send that came before the channel was bound, and of which the
// bind told nobody.
func (a *Analyzer) finishRequests() {
	for id, d := range a.domains {
		if d == nil {
			continue
		}
		for i := range d.open {
			a.requests.Open++
			if a.slowestRequest == 0 || a.now-d.open[i].at > 4*a.slowestRequest {
				a.requests.Hung++
			}
		}
		if len(d.open) == 0 || !d.dropped.ok() || !d.bound.ok() || a.state.Pending(d.port) != evtchn.Zero {
			continue
		}
		since := d.open[0]
		a.alone(d.port, KindLost, "", CauseUnbound)
		if a.count(KindLost, CauseUnbound, d.port) {
			c := a.clock
			a.findings = append(a.findings, Finding{Kind: KindLost, Port: d.port, Word: a.state.Word(d.port),
				OwnerVCPU: a.state.PortAt(d.port).Owner, UnnoticedVCPU: evtchn.NoVCPU, NoticedVCPU: evtchn.NoVCPU, Cause: CauseUnbound,
				UnnoticedAt: c.at(d.bound.at), UnnoticedSeq: d.bound.seq, Exposures: []int64{}, Evidence: []evtchn.Seq{since.seq, d.dropped.seq, d.bound.seq},
				Why: []string{
					fmt.Sprintf("Domain %d made a request at %s (#%d) and sent (#%d) while its channel was not bound here: the send was dropped.", id, c.when(since.at), since.seq, d.dropped.seq),
					fmt.Sprintf("Port %d was bound to it at %s (#%d), and the bind set nothing pending.", d.port, c.when(d.bound.at), d.bound.seq),
					"The domain waits for an answer, and sends nothing more.",
				}, order: d.bound.seq})
		}
	}
}
