//go:build race

package main

// raceDetector slows everything down by an order of magnitude: tests that repeat themselves do so less often.
const raceDetector = true
