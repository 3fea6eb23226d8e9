package evtchn

import "math/bits"

// VCPUSet is a set of vcpus.
type VCPUSet [MaxVCPUs / 64]uint64

// Has reports whether v is in the set.
func (s *VCPUSet) Has(v VCPU) bool { return v >= 0 && s[v>>6]>>(v&63)&1 != 0 }

// Add puts v into the set.
func (s *VCPUSet) Add(v VCPU) { s[v>>6] |= 1 << (v & 63) }

// Remove takes v out of the set.
func (s *VCPUSet) Remove(v VCPU) { s[v>>6] &^= 1 << (v & 63) }

// Empty reports whether no vcpu is in the set.
func (s *VCPUSet) Empty() bool { return *s == VCPUSet{} }

// Next gives the lowest member that is v or higher, or NoVCPU.
func (s *VCPUSet) Next(v VCPU) VCPU {
	for ; v < MaxVCPUs; v = (v>>6 + 1) << 6 {
		if w := s[v>>6] >> (v & 63); w != 0 {
			return v + VCPU(bits.TrailingZeros64(w))
		}
	}
	return NoVCPU
}

// Bits is an array of bits of which some may be unknown, word by word.
type Bits struct {
	Val   []uint64 // the bits; 0 where unknown
	Known []uint64
}

func newBits(words int, fill, known uint64) Bits {
	b := Bits{make([]uint64, words), make([]uint64, words)}
	for i := range b.Val {
		b.Val[i], b.Known[i] = fill&known, known
	}
	return b
}

func (b *Bits) get(w int, m uint64) Bit {
	if b.Known[w]&m == 0 {
		return Unknown
	}
	if b.Val[w]&m != 0 {
		return One
	}
	return Zero
}

func (b *Bits) set(w int, m uint64, v Bit) {
	switch v {
	case Zero:
		b.Val[w] &^= m
		b.Known[w] |= m
	case One:
		b.Val[w] |= m
		b.Known[w] |= m
	default:
		b.Val[w] &^= m
		b.Known[w] &^= m
	}
}
