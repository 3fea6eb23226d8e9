package ftrace

import "github.com/evtrace/evtrace/evtchn"

// maxWrapper bounds how many records stand between the unmask of a wrapper and that of the function which it calls.
const maxWrapper = 256

// wraps reports whether an unmask is only a wrapper's: the function that it calls is probed as well, and its record, which is to come,
// is the one that counts. It is the next unmask of the port, by the same task on the same vcpu, and nothing happened to the port
// in between. Upcalls may stand in between if interrupts were on.
func (in *infer) wraps(pos int64, r *record, p evtchn.Port) bool {
	n := in.w.next(pos)
	for ; n != 0 && n-pos <= maxWrapper; n = in.w.next(n) {
		q := in.w.at(n)
		if q.id == prGap || q.pid != r.pid {
			return false
		}
		if q.id == prUnmask && evtchn.Port(q.a) == p {
			break
		}
		if r.fl&rfFlags == 0 || r.fl&rfIRQsOff != 0 {
			return false // nothing can come in between
		}
	}
	if n == 0 || n-pos > maxWrapper || in.w.at(n).fl&rfHardIRQ != r.fl&rfHardIRQ {
		return false
	}
	for i := pos + 1; i < n; i++ {
		q := in.w.at(i)
		switch q.id {
		case prUpcall, prScan, prUpcallRet:
		case prIRQEntry:
			if owner, ok := in.irqs[q.c]; ok && owner == p {
				return false
			}
		case prHCSend:
			// A send may come at any time.
		default:
			if q.have&fPort != 0 && evtchn.Port(q.a) == p {
				return false
			}
		}
	}
	return true
}
