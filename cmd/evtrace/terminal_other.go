//go:build !linux

package main

import "io"

// isTerminal says no where nobody has written how to find out: there is no progress then.
func isTerminal(io.Writer) bool { return false }
