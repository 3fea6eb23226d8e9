package perfetto

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers, by message. See testdata/perfetto.proto.
const (
	tracePacket = 1 // Trace

	packetTimestamp  = 8 // TracePacket
	packetSequence   = 10
	packetEvent      = 11
	packetInterned   = 12
	packetFlags      = 13
	packetDescriptor = 60

	flagCleared = 1 // SequenceFlags
	flagNeeds   = 2

	eventAnnotations = 4 // TrackEvent
	eventType        = 9
	eventNameIID     = 10
	eventTrack       = 11
	eventName        = 23
	eventCounter     = 30
	eventFlows       = 47
	eventLastFlows   = 48

	typeBegin   = 1 // TrackEvent.Type
	typeEnd     = 2
	typeInstant = 3
	typeCounter = 4

	annotationUint   = 3 // DebugAnnotation
	annotationInt    = 4
	annotationString = 6
	annotationName   = 10

	trackUUID    = 1 // TrackDescriptor
	trackName    = 2
	trackParent  = 5
	trackCounter = 8

	counterUnit = 3 // CounterDescriptor
	unitCount   = 2

	internedNames = 2 // InternedData
	nameIID       = 1 // EventName
	nameText      = 2
)

// message is a buffer of protobuf. Messages within it are begun and ended; their lengths are filled in at the end.
type message []byte

func (m *message) uint(field protowire.Number, v uint64) {
	b := *m
	if field < 16 { // most of them: a tag of one byte
		b = append(b, byte(field)<<3)
	} else {
		b = protowire.AppendTag(b, field, protowire.VarintType)
	}
	*m = protowire.AppendVarint(b, v)
}

func (m *message) fixed64(field protowire.Number, v uint64) {
	*m = protowire.AppendFixed64(protowire.AppendTag(*m, field, protowire.Fixed64Type), v)
}

func (m *message) text(field protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), s)
}

// begin opens a message and gives what end needs.
func (m *message) begin(field protowire.Number) int {
	*m = append(protowire.AppendTag(*m, field, protowire.BytesType), 0)
	return len(*m)
}

// end closes it. Most messages are so short that their length has one byte, for which there is room.
func (m *message) end(from int) {
	b := *m
	n := len(b) - from
	if n < 0x80 {
		b[from-1] = byte(n)
		return
	}
	*m = slices.Replace(b, from-1, from, protowire.AppendVarint(nil, uint64(n))...)
}
