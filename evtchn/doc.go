// Package evtchn is the machine: Xen's event channels with the 2-level ABI, down to single atomic memory operations.
package evtchn
