package main

import (
	"os"
	"strings"
	"testing"
)

// TestProbesOffXen: where there is no Xen, probes wants to be told for which kernel.
func TestProbesOffXen(t *testing.T) {
	if _, err := os.Stat("/sys/hypervisor/type"); err == nil {
		t.Skip("this machine may be a guest of Xen: /sys/hypervisor/type exists")
	}
	r := evtrace(t, "probes")
	for _, want := range []string{"error: this machine is no Xen guest: ", "/sys/hypervisor/type is not there", "hint: --kernel FILE makes a script"} {
		if r.code != codeUsage || r.out != "" || !strings.Contains(r.err, want) {
			t.Errorf("exit code %d, want %d, and %q in\n%s%s", r.code, codeUsage, want, r.out, r.err)
		}
	}
}
