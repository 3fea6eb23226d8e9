package store

import (
	"encoding/binary"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// segment is the piece of the port index that belongs to the chunks of one transaction: for every port, a bit for each chunk
// that mentions it.
type segment struct {
	first  evtchn.Seq
	chunks int
	ports  []evtchn.Port // those with a mask, in no order until encode
	low    []uint32      // masks of small port numbers
	high   map[evtchn.Port]uint32
}

const lowPorts = 1 << 17 // the FIFO ABI's limit: larger numbers come only from strange input

func (s *segment) reset() {
	for _, p := range s.ports {
		if p < lowPorts {
			s.low[p] = 0
		}
	}
	s.ports, s.chunks = s.ports[:0], 0
	clear(s.high)
}

// add notes the ports of the segment's next chunk.
func (s *segment) add(evs []evtchn.Event) {
	if s.chunks == 0 {
		s.first = evs[0].Seq
	}
	bit := uint32(1) << s.chunks
	s.chunks++
	for i := range evs {
		p := evs[i].Port
		switch {
		case p == evtchn.NoPort:
		case p < lowPorts:
			if int(p) >= len(s.low) {
				s.low = append(s.low, make([]uint32, max(int(p)+1-len(s.low), len(s.low), 4096))...)
			}
			if s.low[p] == 0 {
				s.ports = append(s.ports, p)
			}
			s.low[p] |= bit
		default:
			if s.high == nil {
				s.high = map[evtchn.Port]uint32{}
			}
			if s.high[p] == 0 {
				s.ports = append(s.ports, p)
			}
			s.high[p] |= bit
		}
	}
}

// encode gives the segment's key and value, nil if it has no chunks.
func (s *segment) encode() (key, value []byte) {
	if s.chunks == 0 {
		return nil, nil
	}
	slices.Sort(s.ports)
	b := []byte{byte(s.chunks)}
	var last evtchn.Port
	for _, p := range s.ports {
		mask := s.high[p]
		if p < lowPorts {
			mask = s.low[p]
		}
		b = binary.AppendUvarint(b, uint64(p-last))
		b = binary.AppendUvarint(b, uint64(mask))
		last = p
	}
	key = seqKey(s.first)
	return key, sealed(bucketPorts, key, b)
}

// eachPort calls f for every port of an encoded segment, in order, until f gives false, and returns the number of chunks.
func eachPort(body []byte, f func(p evtchn.Port, mask uint32) bool) (chunks int, err error) {
	if len(body) == 0 || body[0] == 0 || body[0] > segmentChunks {
		return 0, corrupt("port index does not parse")
	}
	chunks = int(body[0])
	r := fields{b: body[1:]}
	var p evtchn.Port
	for len(r.b) > 0 {
		p += evtchn.Port(r.uvarint())
		mask := r.uvarint()
		if r.bad || mask == 0 || mask>>chunks != 0 {
			return 0, corrupt("port index does not parse at port %d", p)
		}
		if !f(p, uint32(mask)) {
			break
		}
	}
	return chunks, nil
}
