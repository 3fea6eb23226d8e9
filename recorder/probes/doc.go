// Package probes holds the kprobes that make the event channels of a Linux kernel visible, and the shell script that records with
// them on a machine that has nothing but tracefs.
//
// Begin with Running or Open, which read a kernel, and MakePlan, which says what can be probed in it. Plan.Script is the script,
// whose archive package main's import takes.
//
// The probes are for x86-64, where kprobes name arguments by registers. A probe is left out, and the plan says why, where the
// kernel has no such function, where only a variant of it exists that the compiler gave other arguments, and where the place
// of a hypercall is not certain: no record is better than a wrong one.
//
// A module can put functions of its own into the table through which the kernel calls those of its ABI. Of the running kernel, the plan
// says so, and probes them as well. Functions that are not in the table are named by Options.Own.
//
// The package changes nothing on any machine: it reads kernels and writes text.
package probes
