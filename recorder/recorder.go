package recorder

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// ErrOrder is the class of errors about a source whose events do not make a trace: a number or a time that goes back.
var ErrOrder = errors.New("events out of order")

// Options change what Run does. The zero value is good.
type Options struct {
	// Progress is called about every 65,536 events with the number of events so far and the time of the last.
	Progress func(events uint64, at evtchn.Time)

	_ struct{}
}

// Result says what was recorded.
type Result struct {
	Events uint64
	First  evtchn.Time
	Last   evtchn.Time
	Gaps   uint64 // events of kind gap
	Lost   uint64 // records that those say were lost
}

// Run moves all events of the source to the sinks, in order. It ends without error at the source's end. When ctx is done it
// returns ctx's error at once; what the sinks have taken until then is a valid beginning of the trace. Other errors come
// from the source or a sink, or are of class ErrOrder.
func Run(ctx context.Context, src evtchn.Source, opt Options, sinks ...evtchn.Sink) (Result, error) {
	var r Result
	var ev evtchn.Event
	for {
		if r.Events&0xffff == 0 {
			if err := ctx.Err(); err != nil {
				return r, err
			}
			if opt.Progress != nil && r.Events > 0 {
				opt.Progress(r.Events, r.Last)
			}
		}
		if err := src.Next(&ev); err == io.EOF {
			return r, nil
		} else if err != nil {
			return r, err
		}
		if ev.Seq != evtchn.Seq(r.Events+1) {
			return r, fmt.Errorf("%w: event %d follows event %d", ErrOrder, ev.Seq, r.Events)
		}
		if r.Events > 0 && ev.Time < r.Last {
			return r, fmt.Errorf("%w: event %d is of time %d, the one before of %d", ErrOrder, ev.Seq, ev.Time, r.Last)
		}
		if ev.Cause >= ev.Seq {
			return r, fmt.Errorf("%w: event %d is caused by event %d", ErrOrder, ev.Seq, ev.Cause)
		}
		if r.Events == 0 {
			r.First = ev.Time
		}
		r.Events++
		r.Last = ev.Time
		if ev.Kind == evtchn.KindGap {
			r.Gaps++
			r.Lost += ev.Args[1]
		}
		for _, s := range sinks {
			if err := s.Add(&ev); err != nil {
				return r, err
			}
		}
	}
}
