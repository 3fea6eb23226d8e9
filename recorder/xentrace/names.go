package xentrace

import "fmt"

// classes are the names of the classes, by the number of their bit.
var classes = [12]string{"gen", "sched", "dom0op", "hvm", "mem", "pv", "shadow", "hw", "class8", "class9", "class10", "guest"}

// schedulers are the schedulers' names, by the number that their own records carry.
var schedulers = [8]string{"csched", "csched2", "sedf", "arinc653", "rtds", "null", "sched6", "sched7"}

var runstates = [4]string{"running", "runnable", "blocked", "offline"}

// schedulerOwn is the class and the subclass of records that only their scheduler understands (TRC_SCHED_CLASS).
const schedulerOwn = 0x22

// names are the records that have a name. Those of a scheduler are numbered by it.
var names = map[ID]string{
	0x1f001: "lost_records", 0x1f002: "wrap_buffer", 0x1f003: "cpu_change", 0x1f004: "trace_irq",

	0x21002: "runstate_continue",
	0x28001: "sched_add_domain", 0x28002: "sched_rem_domain", 0x28003: "vcpu_sleep", 0x28004: "vcpu_wake", 0x28005: "vcpu_yield",
	0x28006: "vcpu_block", 0x28007: "domain_shutdown", 0x28008: "sched_ctl", 0x28009: "sched_adjdom", 0x2800a: "sched_switch",
	0x2800b: "s_timer_fn", 0x2800c: "t_timer_fn", 0x2800d: "dom_timer_fn", 0x2800e: "switch_infprev", 0x2800f: "switch_infnext",
	0x28010: "domain_shutdown_code", 0x28011: "switch_infcont",

	0x41001: "domain_create", 0x41002: "domain_destroy",

	0x81001: "vmentry", 0x81002: "vmexit", 0x81102: "vmexit", 0x81401: "nested_vmentry", 0x81402: "nested_vmexit",
	0x81502: "nested_vmexit",
	0x82001: "hvm_pf_xen", 0x82101: "hvm_pf_xen", 0x82002: "hvm_pf_inject", 0x82102: "hvm_pf_inject", 0x82003: "hvm_inj_exc",
	0x82004: "hvm_inj_virq", 0x82005: "hvm_reinj_virq", 0x82006: "hvm_io_read", 0x82007: "hvm_io_write", 0x82008: "hvm_cr_read",
	0x82108: "hvm_cr_read", 0x82009: "hvm_cr_write", 0x82109: "hvm_cr_write", 0x8200a: "hvm_dr_read", 0x8200b: "hvm_dr_write",
	0x8200c: "hvm_msr_read", 0x8200d: "hvm_msr_write", 0x8200e: "hvm_cpuid", 0x8200f: "hvm_intr", 0x82010: "hvm_nmi",
	0x82011: "hvm_smi", 0x82012: "hvm_hypercall", 0x82013: "hvm_hlt", 0x82014: "hvm_invlpg", 0x82114: "hvm_invlpg",
	0x82015: "hvm_mce", 0x82016: "hvm_ioport_read", 0x82216: "hvm_ioport_write", 0x82017: "hvm_mmio_read",
	0x82217: "hvm_mmio_write", 0x82018: "hvm_clts", 0x82019: "hvm_lmsw", 0x82119: "hvm_lmsw", 0x8201a: "hvm_rdtsc",
	0x82020: "hvm_intr_window", 0x82021: "hvm_npf", 0x82023: "hvm_trap",

	0x10f001: "page_grant_map", 0x10f002: "page_grant_unmap", 0x10f003: "page_grant_transfer",

	0x201001: "hypercall", 0x201101: "hypercall", 0x20100d: "hypercall", 0x20200e: "hypercall_subcall",
	0x201003: "trap", 0x201103: "trap", 0x201004: "page_fault", 0x201104: "page_fault", 0x201005: "forced_invalid_op",
	0x201105: "forced_invalid_op", 0x201006: "emulate_privop", 0x201106: "emulate_privop", 0x201007: "emulate_4gb",
	0x201107: "emulate_4gb", 0x201008: "math_state_restore", 0x201108: "math_state_restore", 0x201009: "paging_fixup",
	0x201109: "paging_fixup", 0x20100a: "gdt_ldt_mapping_fault", 0x20110a: "gdt_ldt_mapping_fault", 0x20100b: "ptwr_emulation",
	0x20110b: "ptwr_emulation", 0x20100c: "ptwr_emulation_pae", 0x20110c: "ptwr_emulation_pae",

	0x801001: "cpu_freq_change", 0x801002: "cpu_idle_entry", 0x801003: "cpu_idle_exit", 0x802001: "irq_move_cleanup_delay",
	0x802002: "irq_move_cleanup", 0x802003: "irq_bind_vector", 0x802004: "irq_handled", 0x802005: "irq_assign_vector",
	0x802006: "irq_unmapped_vector", 0x802007: "irq_move_finish", 0x802008: "irq_enter", 0x802009: "irq_exit",
}

// Class is the name of the id's class, such as "sched" or "pv". The id must have come from a Reader.
func (id ID) Class() string { return classes[id.class()] }

// Known reports whether records of that id have a name.
func (id ID) Known() bool {
	if _, ok := names[id]; ok || id>>12 == schedulerOwn {
		return true
	}
	from, to, ok := id.runstate()
	return ok && int(from) < len(runstates) && int(to) < len(runstates)
}

// String gives the name of the event, or its class and number where it has none: "runstate_change running->blocked",
// "csched2:0x15", "mem:0x10f00c".
func (id ID) String() string {
	if name, ok := names[id]; ok {
		return name
	}
	if id>>12 == schedulerOwn {
		return fmt.Sprintf("%s:%#x", schedulers[id>>9&7], uint32(id&0x1ff))
	}
	if id.Known() {
		from, to, _ := id.runstate()
		return "runstate_change " + runstates[from] + "->" + runstates[to]
	}
	return fmt.Sprintf("%s:%#x", id.Class(), uint32(id))
}
