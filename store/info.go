package store

import "github.com/evtrace/evtrace/evtchn"

// Info describes a trace file without decoding it.
type Info struct {
	Path          string      `json:"path"`
	Layout        int         `json:"layout_version"`
	Complete      bool        `json:"complete"`
	Closed        bool        `json:"closed"` // false: the recording was killed, and this is what it had committed
	Events        uint64      `json:"events"`
	FileBytes     int64       `json:"file_bytes"`
	BytesPerEvent float64     `json:"bytes_per_event"` // of the whole file
	Chunks        int         `json:"chunks"`
	ChunkBytes    uint64      `json:"chunk_bytes"`
	RawBytes      uint64      `json:"raw_bytes"` // of the chunks before compression
	Keyframes     int         `json:"keyframes"`
	KeyframeBytes uint64      `json:"keyframe_bytes"`
	Findings      int         `json:"findings"` // versions of the analyser that left findings
	MinTime       evtchn.Time `json:"min_time"` // on the trace's own clock
	MaxTime       evtchn.Time `json:"max_time"`
	Duration      evtchn.Time `json:"duration"`
	Meta          evtchn.Meta `json:"meta"`
}

// Info gives the sizes and ranges of the trace. It reads nothing that Open has not read.
func (f *File) Info() Info {
	t := &f.tip
	in := Info{Path: f.path, Layout: layoutVersion, Complete: f.meta.Complete, Closed: f.tip.closed != 0, Events: t.events, FileBytes: f.size,
		Chunks: len(f.index.chunks), ChunkBytes: t.chunkBytes, RawBytes: t.rawBytes, Keyframes: len(f.index.frames),
		KeyframeBytes: t.frameBytes, Findings: int(t.findings), MinTime: t.min, MaxTime: t.max, Duration: t.max - t.min, Meta: f.meta}
	if t.events > 0 {
		in.BytesPerEvent = float64(f.size) / float64(t.events)
	}
	return in
}
