package probes

import (
	"slices"
	"strings"
)

// The ABIs of event channels.
const (
	TwoLevel = "2l"
	FIFO     = "fifo"
)

// Group is the group of the probes in tracefs, and the name of the tracing instance that records them.
const Group = "evtrace"

// Cost says what a probe costs each time that it is hit.
type Cost string

// The kinds of cost.
const (
	CostEntry  Cost = "entry"  // at a function's beginning
	CostReturn Cost = "return" // at a function's beginning and at its end
	CostInside Cost = "inside" // within a function
)

// Costs explains the kinds, each in a sentence.
func Costs() map[Cost]string {
	return map[Cost]string{
		CostEntry:  "at a function's entry, where the kernel goes through a call that ftrace has prepared: the cheapest",
		CostReturn: "at the entry and once more at the return: about twice that",
		CostInside: "in the middle of a function: a trap, unless the kernel turns it into a jump",
	}
}

// Probe is a kprobe on the event channel code of Linux.
type Probe struct {
	Name    string   // of the record
	Return  bool     // when the function returns
	Symbols []string // the function's names in the kernels that there are, newest first
	Module  string   // where the function is, if event channel code is not built in; "" for the kernel itself
	Args    string   // what is fetched, in the language of kprobe_events
	ABI     string   // "": both
	Needs   string   // a symbol without which the function takes other arguments
	HVM     string   // the function's name in a guest that is not PV, in kernels that have two
	Command int      // of the hypercall just before which it is; 0: it is at the function's beginning or end
	Rate    string   // how often it is hit
	Says    string   // what its records say
	Without string   // what is lost without it
}

// Cost gives the kind of cost.
func (p *Probe) Cost() Cost {
	switch {
	case p.Return:
		return CostReturn
	case p.Command != 0:
		return CostInside
	}
	return CostEntry
}

const device = "xen_evtchn" // the module of /dev/xen/evtchn

// table lists the probes: what the importer makes use of, and no more, since each costs something.
var table = [...]Probe{
	{Name: "upcall", Symbols: []string{"xen_evtchn_do_upcall"}, HVM: "xen_hvm_evtchn_do_upcall", Rate: "each upcall",
		Says: "when a vcpu was made to look", Without: "the verdict is `unknown`, unless something is found all the same"},
	{Name: "upcall_ret", Return: true, Symbols: []string{"xen_evtchn_do_upcall"}, HVM: "xen_hvm_evtchn_do_upcall", Rate: "each upcall",
		Says: "when it had done looking", Without: "the same"},
	{Name: "scan", Symbols: []string{"evtchn_2l_handle_events"}, ABI: TwoLevel, Args: "cpu=%di:u32", Rate: "each look at the selectors, one or more an upcall",
		Says: "that it took its selectors, and which ports it turned away from", Without: "the same"},
	{Name: "scan", Symbols: []string{"__evtchn_fifo_handle_events", "evtchn_fifo_handle_events"}, ABI: FIFO, Args: "cpu=%di:u32", Rate: "each look at the queues, one or more an upcall",
		Says: "that it took its queues", Without: "deduced from the upcall"},
	{Name: "deliver", Symbols: []string{"handle_irq_for_port"}, Args: "port=%di:u32", Rate: "each delivery",
		Says: "that the port was picked", Without: "deduced from irq_handler_entry and /proc/interrupts"},
	{Name: "clear", Symbols: []string{"evtchn_2l_clear_pending"}, ABI: TwoLevel, Args: "port=%di:u32", Rate: "each delivery",
		Says: "when the port ceased to be pending", Without: "the verdict is `unknown`, unless something is found all the same"},
	{Name: "clear", Symbols: []string{"evtchn_fifo_clear_pending"}, ABI: FIFO, Args: "port=%di:u32", Rate: "each delivery",
		Says: "when the port ceased to be pending", Without: "deduced from the delivery"},
	{Name: "mask", Symbols: []string{"evtchn_2l_mask"}, ABI: TwoLevel, Args: "port=%di:u32", Rate: "each event of /dev/xen/evtchn, and of handlers that end late",
		Says: "that the port was masked, and where", Without: "the verdict is `unknown`, unless something is found all the same"},
	{Name: "mask", Symbols: []string{"evtchn_fifo_mask"}, ABI: FIFO, Args: "port=%di:u32", Rate: "each event of /dev/xen/evtchn, and of handlers that end late",
		Says: "that the port was masked, and where", Without: "when ports were masked is not known"},
	{Name: "unmask", Symbols: []string{"evtchn_2l_unmask"}, ABI: TwoLevel, Args: "port=%di:u32", Rate: "as mask",
		Says: "that the port was unmasked, and where", Without: "the verdict is `unknown`, unless something is found all the same"},
	{Name: "unmask", Symbols: []string{"evtchn_fifo_unmask"}, ABI: FIFO, Args: "port=%di:u32", Rate: "as mask",
		Says: "that the port was unmasked, and where", Without: "when ports were unmasked is not known"},
	{Name: "bind_cpu", Symbols: []string{"evtchn_2l_bind_to_cpu"}, ABI: TwoLevel, Needs: "evtchn_2l_remove", Args: "port=%di:u32 cpu=%si:u32 old=%dx:u32", Rate: "each bind, each move to another vcpu",
		Says: "which vcpu handles the port", Without: "taken from `lsevtchn`"},
	{Name: "bind_cpu", Symbols: []string{"evtchn_fifo_bind_to_cpu"}, ABI: FIFO, Needs: "evtchn_2l_remove", Args: "port=%di:u32 cpu=%si:u32 old=%dx:u32", Rate: "each bind, each move to another vcpu",
		Says: "which vcpu handles the port", Without: "taken from `lsevtchn`"},
	{Name: "remove", Symbols: []string{"evtchn_2l_remove"}, ABI: TwoLevel, Args: "port=%di:u32 cpu=%si:u32", Rate: "each close",
		Says: "that no vcpu handles the port any more", Without: "a port that is closed and bound again looks like one"},
	{Name: "ipi", Symbols: []string{"xen_send_IPI_one"}, Args: "cpu=%di:u32 vec=%si:u32", Rate: "each IPI: often",
		Says: "an IPI to that vcpu", Without: "a delivery shows that there was one, not when"},
	{Name: "lateeoi", Symbols: []string{"xen_irq_lateeoi"}, Args: "irq=%di:s32 flags=%si:x32", Rate: "each end of a late handler",
		Says: "the end of a handler that keeps its port masked", Without: "the unmask shows it"},
	{Name: "bind_evtchn", Symbols: []string{"bind_evtchn_to_irq_chip", "bind_evtchn_to_irq"}, Args: "port=%di:u32", Rate: "each bind",
		Says: "that a port gets an irq", Without: "learned from its deliveries"},
	{Name: "bind_evtchn_ret", Return: true, Symbols: []string{"bind_evtchn_to_irq_chip", "bind_evtchn_to_irq"}, Args: "irq=$retval:s32", Rate: "each bind",
		Says: "which irq", Without: "learned from its deliveries"},
	{Name: "dev_irq", Symbols: []string{"evtchn_interrupt"}, Module: device, Args: "irq=%di:s32 port=+32(%si):u32 enabled=+36(%si):u8", Rate: "each event of /dev/xen/evtchn",
		Says: "the handler of /dev/xen/evtchn, which masks its port until the program writes it back", Without: "irq_handler_entry shows it"},
	{Name: "dev_ioctl", Symbols: []string{"evtchn_ioctl"}, Module: device, Args: "cmd=%si:x32 a0=+u0(%dx):u32 a1=+u4(%dx):u32", Rate: "each send and bind of a program",
		Says: "sends and binds through /dev/xen/evtchn: which port is whose peer", Without: "taken from `lsevtchn`, for ports that live long enough"},
	{Name: "dev_ioctl_ret", Return: true, Symbols: []string{"evtchn_ioctl"}, Module: device, Args: "ret=$retval:s32", Rate: "each send and bind of a program",
		Says: "the port that a bind got", Without: "the same"},
	{Name: "dev_write", Symbols: []string{"evtchn_write"}, Module: device, Args: "bytes=%dx:u32 p0=+u0(%si):u32 p1=+u4(%si):u32 p2=+u8(%si):u32 p3=+u12(%si):u32", Rate: "each write of a program",
		Says: "which ports a program wrote back", Without: "the unmask shows it"},
	{Name: "hc_notify_irq", Symbols: []string{"notify_remote_via_irq"}, Command: cmdSend, Rate: "each send of a backend",
		Says: "the moment of the send, and its port", Without: "a delivery shows that there was one, not when"},
	{Name: "hc_ipi", Symbols: []string{"xen_send_IPI_one"}, Command: cmdSend, Rate: "each IPI: often",
		Says: "the port of the IPI", Without: "learned from its deliveries"},
	{Name: "hc_dev_notify", Symbols: []string{"evtchn_ioctl"}, Module: device, Command: cmdSend, Rate: "each send of a program",
		Says: "the moment of the send", Without: "taken to be that of `dev_ioctl`"},
	{Name: "hc_unmask_2l", Symbols: []string{"evtchn_2l_unmask"}, ABI: TwoLevel, Command: cmdUnmask, Rate: "each unmask on another vcpu than the port's",
		Says: "that the unmask went through Xen, and not past it", Without: "the two are told apart by what followed, or not at all"},
	{Name: "hc_unmask_fifo", Symbols: []string{"evtchn_fifo_unmask"}, ABI: FIFO, Command: cmdUnmask, Rate: "each unmask of a pending port",
		Says: "that the unmask went through Xen", Without: "that is not known"},
	{Name: "hc_bind_vcpu", Symbols: []string{"set_affinity_irq"}, Command: cmdBindVCPU, Rate: "each move to another vcpu",
		Says: "that Xen was told which vcpu to notify", Without: "taken to be at `bind_cpu`"},
	{Name: "hc_close", Symbols: []string{"__unbind_from_irq"}, Command: cmdClose, Rate: "each close",
		Says: "which port was closed", Without: "taken from `lsevtchn`"},
	{Name: "hc_dev_close", Symbols: []string{"evtchn_bind_to_user"}, Module: device, Command: cmdClose, Rate: "a bind of a program that fails: seldom",
		Says: "which port was closed", Without: "taken from `lsevtchn`"},
}

// All lists every probe that there is, in the order in which they are defined.
func All() []Probe {
	list := slices.Clone(table[:])
	for i := range list {
		list[i].Symbols = slices.Clone(list[i].Symbols)
	}
	return list
}

// letter is how kprobe_events calls the probe's kind.
func (p *Probe) letter() string {
	if p.Return {
		return "r"
	}
	return "p"
}

// define gives the line for kprobe_events that puts the probe at a place, under a name.
func (p *Probe) define(name, place, args string) string {
	return strings.TrimSpace(p.letter() + ":" + Group + "/" + name + " " + place + " " + args)
}
