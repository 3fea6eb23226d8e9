#!/bin/sh
# Record the event channels of this Xen guest, dom0 or another, with kprobes and ftrace, into one tar archive.
# Made by "evtrace probes" for @KERNEL@
#
# usage: sh record.sh [-s SECONDS] [-o FILE.tar] [-b KB] [-c CLOCK] [-a ABI] [-n]
#        sh record.sh clean
#   -s SECONDS   how long (0: until Ctrl-C). Ctrl-C ends the recording and keeps it; while it is saved, Ctrl-C does nothing
#   -o FILE.tar  the archive; it must not exist. Default: named after this machine and the time
#   -b KB        ring buffer for each vcpu
#   -c CLOCK     trace clock
#   -a ABI       2l or fifo (auto: find out)
#   -n           do not have Xen print its ports (debug key e). It does so before and after, which takes long over a slow serial
#                console, and can push older lines out of the ring that xl dmesg shows: save those first, or leave the dumps out
#   clean        remove what a recording that was killed (kill -9), or could not be saved, left in the kernel
#
# It uses a tracing instance of its own and a group of kprobes of its own, both called @GROUP@, and touches nobody else's
# tracing. Both are gone when it ends, unless it was killed by kill -9, or the trace could not be saved: then it says how to
# save it from the kernel. It needs root and tracefs, compiles nothing and loads no module.
set -u
umask 077
LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL PATH

seconds=@SECONDS@ kb=@BUFFER@ clock=@CLOCK@ want_abi=@ABI@ dump=@DUMP@
out=@ARCHIVE@
made_for=@VERSION@
group=@GROUP@
root=${EVTRACE_ROOT-} # of /proc and /sys, for tests
t= dir= name= phase=idle sleeper= mine= anyway= awaited=
nl='
'

say() {
	echo "record: $*" >&2
	[ -z "$dir" ] || echo "$*" 2> /dev/null >> "$dir/$name/record.log"
}
note() { say "note: $*"; }
die() { # die MESSAGE [HINT]
	say "error: $1"
	[ -z "${2-}" ] || say "hint: $2"
	exit 1
}
usage() {
	say "error: $1"
	echo "usage: sh record.sh [-s SECONDS] [-o FILE.tar] [-b KB] [-c CLOCK] [-a 2l|fifo|auto] [-n] | clean" >&2
	exit 2
}
number() { # number VALUE OPTION MIN MAX
	case $1 in '' | *[!0-9]* | ??????????*) usage "$2: got '$1', want a number from $3 to $4" ;; esac
	[ "$1" -ge "$3" ] && [ "$1" -le "$4" ] || usage "$2: got $1, want $3 to $4"
}

# --- the kernel -------------------------------------------------------------------------------------------------------

find_tracefs() {
	for t in "$root/sys/kernel/tracing" "$root/sys/kernel/debug/tracing"; do
		[ ! -f "$t/kprobe_events" ] || return 0
	done
	for t in "$root/sys/kernel/tracing" "$root/sys/kernel/debug/tracing"; do
		[ ! -f "$t/trace" ] || die "this kernel has no kprobe events (CONFIG_KPROBE_EVENTS)"
	done
	die "tracefs is not mounted" "mount -t tracefs nodev /sys/kernel/tracing"
}

# remove: take our events and our instance out of the kernel.
remove() {
	i=$t/instances/$group
	if [ -d "$i" ]; then
		echo 0 > "$i/tracing_on"
		[ ! -f "$i/events/enable" ] || echo 0 > "$i/events/enable"
	fi
	sed -n "s|^[pr][0-9]*:\($group/[^ ]*\).*|-:\1|p" "$t/kprobe_events" | while read -r event; do
		echo "$event" >> "$t/kprobe_events" || say "error: cannot remove the probe: echo '$event' >> $t/kprobe_events"
	done
	[ ! -d "$i" ] || rmdir "$i" || { sleep 1; rmdir "$i"; } || say "error: cannot remove $i: is it open somewhere?"
}

cleanup() {
	trap '' INT TERM HUP
	[ -z "$sleeper" ] || kill "$sleeper" 2> /dev/null
	if [ -n "$mine" ]; then
		mine=
		remove
	fi
	if [ -n "$dir" ] && [ "$phase" != saving ]; then # what was recorded, and is not in an archive yet, stays
		rm -rf "$dir"
		dir=
	fi
}
signal() { # signal STATUS: it ends a recording, which is kept; what comes before that is undone
	case $phase in
	recording)
		trap '' INT TERM HUP # nothing is to disturb the saving, nor the programs that do it
		phase=stopped
		[ -z "$sleeper" ] || kill "$sleeper" 2> /dev/null
		return ;;
	stopped | saving) return ;;
	esac
	say "stopped: nothing is left"
	exit "$1" # through cleanup
}

# --- probes -----------------------------------------------------------------------------------------------------------

# has [MODULE:]SYMBOL[+OFFSET]: the kernel has that function. A module that is not there would be accepted, and never hit.
has() {
	[ -z "$anyway" ] || return 0
	case ${1%%+*} in
	*:*) f=${1%%+*}; grep -q " ${f#*:}[[:space:]]\[${f%%:*}\]" "$dir/symbols" ;;
	*) grep -q " ${1%%+*}\$" "$dir/symbols" ;;
	esac
}
probe() { # probe DEFINITION...: the first that fits this kernel
	why=
	for definition; do
		rest=${definition#* }
		if ! has "${rest%% *}"; then
			why="the kernel has no function ${rest%% *}"
			continue
		fi
		if echo "$definition" 2> /dev/null >> "$t/kprobe_events"; then
			return 0
		fi
		why="the kernel refuses it"
	done
	event=${definition%% *}
	note "no ${event#*/}: $why"
	echo "$definition # $why" >> "$dir/$name/kprobes-refused.txt"
	return 0
}
abi() { [ "$abi" != "$1" ] || { shift; "$@"; }; }
pv() { [ "$guest" != pv ] || "$@"; }
hvm() { [ "$guest" != hvm ] || "$@"; }
needs() {
	if has "$1"; then
		shift
		"$@"
	else
		note "left out, since this kernel has no $1 and gives other arguments: $3"
	fi
}
same_kernel() {
	if [ "$(cat "$root/proc/version")" = "$made_for" ]; then
		"$@"
	else
		elsewhere=yes
	fi
}

later() { # later MODULE probe ...: the user's own module, which may be loaded while this records: the probe is armed then
	if ! grep -q "^$1 " "$root/proc/modules" 2> /dev/null; then
		case " $awaited " in
		*" $1 "*) ;;
		*) note "the module $1 is not loaded: its probes wait for it" ;;
		esac
		awaited="$awaited $1" anyway=yes
	fi
	shift
	"$@"
	anyway=
}

# find_abi: which of the two functions that look for events is hit. Every vcpu takes an upcall many times a second.
find_abi() {
	abi=2l
	probe "p:$group/abi_2l evtchn_2l_handle_events"
	probe "p:$group/abi_fifo __evtchn_fifo_handle_events" "p:$group/abi_fifo evtchn_fifo_handle_events"
	echo 1 > "$i/events/$group/enable" || die "cannot enable probes in $i"
	sleep 1
	echo 0 > "$i/events/$group/enable"
	abi=$(awk '$1 == "abi_2l" && $2 > 0 {print "2l"} $1 == "abi_fifo" && $2 > 0 {print "fifo"}' "$t/kprobe_profile")
	for event in abi_2l abi_fifo; do
		! grep -q "^[pr][0-9]*:$group/$event " "$t/kprobe_events" || echo "-:$group/$event" >> "$t/kprobe_events"
	done
	case $abi in
	2l | fifo) ;;
	*) die "which ABI this kernel uses cannot be told" "-a 2l or -a fifo says it; dmesg has it in a line 'xen:events: Using ...'" ;;
	esac
}

define_probes() {
@PROBES@
}

# --- side files -------------------------------------------------------------------------------------------------------

tool() { # tool NAME: a program of Xen's, which may be out of the way
	for f in "$(command -v "$1" 2> /dev/null)" "$root"/usr/lib/xen*/bin/"$1" "$root"/usr/lib64/xen*/bin/"$1" "$root"/usr/libexec/xen*/bin/"$1" "$root"/usr/local/lib/xen/bin/"$1"; do
		if [ -n "$f" ] && [ -x "$f" ]; then
			echo "$f"
			return 0
		fi
	done
	return 1
}
snapshot() { # snapshot WHEN: the tables of Linux and Xen
	cat "$root/proc/interrupts" > "$d/interrupts.$1.txt"
	if [ -n "$lsevtchn" ]; then
		"$lsevtchn" 0 > "$d/lsevtchn.$1.txt" 2>> "$d/tools.log" < /dev/null || note "lsevtchn 0 did not work: see tools.log"
	fi
}
xen_log() { # xen_log WHEN: Xen's console, with a dump of all ports in it
	[ -n "$xl" ] || return 0
	if [ "$dump" = yes ]; then
		"$xl" debug-keys e >> "$d/tools.log" 2>&1 < /dev/null || note "xl debug-keys e did not work: see tools.log"
		sleep 1
	fi
	"$xl" dmesg > "$d/xl-dmesg.$1.txt" 2>> "$d/tools.log" < /dev/null || note "xl dmesg did not work: see tools.log"
}

# --- the recording ----------------------------------------------------------------------------------------------------

case ${1-} in
clean)
	[ $# = 1 ] || usage "clean takes nothing else"
	[ "$(id -u)" = 0 ] || die "only root can do this" "sudo sh $0 clean"
	find_tracefs
	remove
	say "clean: no probe and no instance called $group is left"
	exit 0 ;;
esac
while [ $# -gt 0 ]; do
	case $1 in
	-n) dump=no; shift; continue ;;
	-s | -o | -b | -c | -a) [ $# -ge 2 ] && [ -n "$2" ] || usage "$1: want a value" ;;
	*) usage "unknown argument '$1'" ;;
	esac
	case $1 in
	-s) seconds=$2 ;;
	-o) out=$2 ;;
	-b) kb=$2 ;;
	-c) clock=$2 ;;
	-a) want_abi=$2 ;;
	esac
	shift 2
done
number "$seconds" -s 0 86400
number "$kb" -b 64 4194304
case $want_abi in 2l | fifo | auto) ;; *) usage "-a: got '$want_abi', want 2l, fifo or auto" ;; esac

[ "$(cat "$root/sys/hypervisor/type" 2> /dev/null)" = xen ] || die "this machine does not run under Xen: /sys/hypervisor/type does not say xen"
[ "$(uname -m)" = x86_64 ] || die "these probes are for x86_64, this is $(uname -m)"
[ "$(id -u)" = 0 ] || die "only root can record" "sudo sh $0"
find_tracefs
[ -d "$t/instances" ] || die "this kernel has no tracing instances"
grep -q control_d "$root/proc/xen/capabilities" 2> /dev/null || note "this is not dom0, or xenfs is not mounted: Xen's own tables may be missing"
case $(cat "$root/sys/hypervisor/guest_type" 2> /dev/null) in HVM | PVH) guest=hvm ;; *) guest=pv ;; esac

[ -n "$out" ] || out=evtrace-$(uname -n)-$(date +%Y%m%d-%H%M%S).tar
case $out in -*) out=./$out ;; esac
for f in "$out" "$out.partial" "$out.d"; do
	[ ! -e "$f" ] || die "$f exists already" "-o gives another name"
done
name=${out##*/}
name=${name%.tar}
[ -n "$name" ] || name=capture

i=$t/instances/$group
trap '' INT TERM HUP PIPE
mkdir "$i" 2> /dev/null || die "$i is there already: another recording is under way, or one was killed" "sh $0 clean removes what a killed one left"
mine=yes
trap cleanup EXIT
trap 'signal 130' INT
trap 'signal 143' TERM
trap 'signal 129' HUP
mkdir -p "$out.d/$name" || die "cannot write beside $out"
dir=$out.d d=$dir/$name
echo 0 > "$i/tracing_on"
# Probes of a recording that was killed, and whose instance is gone.
sed -n "s|^[pr][0-9]*:\($group/[^ ]*\).*|-:\1|p" "$t/kprobe_events" | while read -r event; do echo "$event" >> "$t/kprobe_events"; done

grep -E ' [tTwW] (@SYMBOLS@)([[:space:]]|$)' "$root/proc/kallsyms" > "$dir/symbols"
[ -s "$dir/symbols" ] || die "this kernel lists no event channel functions in /proc/kallsyms"
abi=$want_abi elsewhere=
[ "$abi" != auto ] || find_abi
define_probes
[ -z "$elsewhere" ] || note "no probes before hypercalls: this script was made for another kernel; evtrace probes makes one for this"
[ -d "$i/events/$group" ] || die "the kernel took no probe" "is kprobe_events writable? Secure Boot's lockdown forbids it"

echo "$clock" 2> /dev/null > "$i/trace_clock" || { note "the kernel has no trace clock $clock: mono is taken"; echo mono > "$i/trace_clock"; }
cpus=$(ls -d "$i"/per_cpu/cpu* | grep -c .)
free=$(awk '$1 == "MemAvailable:" {print $2}' "$root/proc/meminfo")
if [ -n "$free" ] && [ "$kb" -gt $((free / 4 / cpus)) ]; then
	kb=$((free / 4 / cpus))
	[ "$kb" -ge 64 ] || kb=64
	note "the ring buffers get $kb KB for each of $cpus vcpus, a quarter of the free memory"
fi
until echo "$kb" 2> /dev/null > "$i/buffer_size_kb"; do
	[ "$kb" -gt 128 ] || die "the kernel has no memory for the ring buffers" "-b 64 is the smallest"
	kb=$((kb / 2))
	note "the kernel has less memory than that: $kb KB for each vcpu"
done
# A full ring buffer makes a text of three times its size, and gzip a sixth of that; the archive is made beside it.
need=$((kb * cpus))
command -v gzip > /dev/null 2>&1 || need=$((need * 6))
room=$(df -Pk "$dir" 2> /dev/null | awk 'NR == 2 {print $4}')
case $room in
'' | *[!0-9]*) ;; # no df, or one that says something else
*) [ "$room" -ge "$need" ] || note "beside $out there is room for $room KB, and full ring buffers may need $need KB: -o elsewhere, or a smaller buffer (-b)" ;;
esac
lsevtchn=$(tool lsevtchn) || note "no lsevtchn: which port is whose peer must be deduced"
xl=$(tool xl) || note "no xl: Xen's console, and the TSC's frequency, are missing"
uname -a > "$d/uname.txt"
cat "$root/proc/cmdline" > "$d/cmdline.txt" 2> /dev/null
[ -z "$xl" ] || "$xl" info > "$d/xl-info.txt" 2>> "$d/tools.log" < /dev/null
xen_log before
snapshot before

phase=recording
echo 1 > "$i/events/$group/enable" || die "cannot enable the probes in $i"
for e in entry exit; do
	echo 1 > "$i/events/irq/irq_handler_$e/enable" || note "no irq_handler_$e"
done
echo 1 > "$i/tracing_on"
if [ "$seconds" = 0 ]; then
	say "recording ($abi ABI, $cpus vcpus, $kb KB each) until Ctrl-C"
else
	say "recording ($abi ABI, $cpus vcpus, $kb KB each) for $seconds s; Ctrl-C ends it before"
fi
nap=$seconds
[ "$seconds" != 0 ] || nap=86400 # one day after the other
while [ $phase = recording ]; do
	sleep "$nap" &
	sleeper=$!
	[ $phase = recording ] || kill "$sleeper" 2> /dev/null
	wait "$sleeper"
	sleeper=
	[ "$seconds" = 0 ] || break
done
trap '' INT TERM HUP
phase=saving
echo 0 > "$i/tracing_on"
say "saving: signals are ignored until it is done"
snapshot after
echo 0 > "$i/events/enable"
xen_log after

grep "^[pr][0-9]*:$group/" "$t/kprobe_events" > "$d/kprobes-accepted.txt"
cat "$t/kprobe_profile" > "$d/kprobe_profile.txt"
cat "$i/trace_clock" > "$d/trace_clock.txt"
mkdir "$d/stats"
for c in "$i"/per_cpu/cpu*; do cat "$c/stats" > "$d/stats/${c##*/}.txt"; done
if command -v gzip > /dev/null 2>&1; then
	failed=$({ { cat "$i/trace" || echo cat >&3; } | gzip -1 > "$d/trace.txt.gz" || echo gzip >&3; } 3>&1)
else
	failed=$(cat "$i/trace" > "$d/trace.txt" || echo cat)
fi
if [ -n "$failed" ]; then
	mine= # the records stay in the kernel too
	die "the trace could not be saved whole: what is there is in $d, and all records are still in the kernel" \
		"with room elsewhere: cat $i/trace > ELSEWHERE/trace.txt, beside the other files of $d; then sh $0 clean"
fi
mine=
remove
said=$(awk '/^entries:/ {n += $2} /^overrun:|^dropped events:/ {lost += $NF}
	END {printf "%d records", n; if (lost) printf "; %d older ones were overwritten: a larger buffer (-b), or fewer seconds (-s)", lost}' "$d"/stats/*)
say "$said"
misses=$(awk -v names=" $(sed 's|^[^/]*/\([^ ]*\).*|\1|' "$d/kprobes-accepted.txt" | tr '\n' ' ')" 'index(names, " " $1 " ") {n += $3} END {print n + 0}' "$d/kprobe_profile.txt")
[ "$misses" = 0 ] || note "$misses hits were missed, because another probe was being handled on the vcpu: evtrace knows of such"

tar -cf "$out.partial" -C "$dir" "$name" && mv "$out.partial" "$out" || {
	rm -f "$out.partial"
	die "cannot write $out: the trace and all other files are in $d" "with room for it: tar -cf $out -C $dir $name, and evtrace import $out"
}
rm -rf "$dir"
dir=
say "done: evtrace import $out"
