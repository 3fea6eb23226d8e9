# A job of the lab: record with the script that evtrace probes prints in the guest itself, one capture for each kind.
# options: kinds=good,bug,lost,load  seconds=12  rounds=3 (lost)  tui=KIND (show that capture on the console)
#   good   requests and answers through /dev/xen/evtchn (evpp)          bug    the same with the unmask of 2005 in the kernel
#   lost   the lost event step by step (evlost)                        load   pairs of ports, pipes, disk, console (either ABI)
# For each it leaves KIND/capture.tar; KIND/record.sh, with KIND/probes.json and KIND/probes.log, as evtrace probes prints them then;
# KIND/record.log; KIND/truth*.txt, what the load and the modules know; for bug also truth-trace.txt, the losses as the module's own probes
# have them, recorded by another session in tracefs' own buffer; before.txt and after.txt, the state of tracefs, which must not differ.
# Once: probes.json, hcsites.txt (the lab's own idea of where the hypercalls are). tui=KIND: the console's log has the screens.
. /lab/lib.sh
options "kinds=good seconds=12 rounds=3 tui=" "$@"
state() {
	for f in trace_clock buffer_size_kb tracing_on current_tracer events/enable kprobe_events; do
		echo "== $f"
		cat $T/$f
	done
	ls $T/instances
}

capture() { # capture KIND
	D=$OUT/$1
	mkdir -p $D
	case $1 in bug*) own=evbug ;; lost*) own=evlost ;; *) own= ;; esac
	echo > $T/trace
	case $1 in
	bug*) # the truth is another's session
		insmod /mod/evbug.ko || die "evbug.ko was refused"
		probe_file /lab/probes/evbug.txt
		echo 1 > $T/events/evtchn/enable
		;;
	lost*) # the module does all it does while it is loaded: its probes wait for it
		set -- $1 --probe 'unmask=evlost:evlost_local_unmask port=%di' --probe 'hc_send=evlost:evlost_send port=%di:u32' ;;
	esac
	kind=$1
	shift
	./evtrace probes "$@" --json > $D/probes.json || die "$kind: evtrace probes: $?"
	./evtrace probes "$@" -o $D/record.sh 2> $D/probes.log || die "$kind: evtrace probes: $(cat $D/probes.log)"
	set -- $kind
	echo 1 > $T/tracing_on
	log_lines=$(dmesg | wc -l)
	state > $D/before.txt
	sh $D/record.sh -s 600 -o $D/capture.tar > $D/record.log 2>&1 &
	recorder=$!
	n=0
	until grep -q 'recording (' $D/record.log; do
		n=$((n + 1))
		[ $n -lt 200 ] && kill -0 $recorder 2> /dev/null || die "$1: it does not record: $(cat $D/record.log)"
		sleep 1
	done
	case $1 in
	good* | bug*)
		evpp 100 $seconds 4000 300 1 60 600 > $D/truth-load.txt 2>&1 ;;
	lost*)
		insmod /mod/evlost.ko rounds=$rounds wait_ms=500 fill=110 cpu_home=0 cpu_other=1 || die "evlost.ko was refused" ;;
	load*)
		load pipe,disk,console
		evload 60 $seconds 2000 > $D/truth-load.txt 2>&1
		load_off ;;
	*) die "kinds: no kind is called $1" ;;
	esac
	kill -TERM $recorder # in the background of a shell, it does not get SIGINT
	wait $recorder
	rc=$?
	state > $D/after.txt
	[ "$own" != evbug ] || cat $T/trace > $D/truth-trace.txt
	echo 0 > $T/events/enable
	echo > $T/kprobe_events # before the module goes
	[ -z "$own" ] || rmmod $own
	kernel_log > $D/truth.txt
	echo "== $1: $rc"
	cat $D/record.log
	[ $rc = 0 ] || die "$1: the script ended with $rc"
	cmp $D/before.txt $D/after.txt || die "$1: tracefs is not as it was: $(diff $D/before.txt $D/after.txt)"
}

./evtrace probes --json > $OUT/probes.json || die "evtrace probes: $?"
hcsites < /lab/probes/hypercalls.txt > $OUT/hcsites.txt 2>&1
echo x86-tsc > $T/trace_clock
echo 8192 > $T/buffer_size_kb
for kind in $(echo $kinds | tr , ' '); do
	capture $kind
done
if [ -n "$tui" ]; then
	stty -F /dev/hvc0 rows 24 cols 80
	echo "== the terminal UI" > /dev/hvc0
	TERM=linux timeout -s KILL 300 ./evtrace tui $OUT/$tui/capture.tar < /dev/hvc0 > /dev/hvc0 2> $OUT/tui-error.txt &
	shown=$!
	# It imports the capture first; keys that are pressed before are read after. Next finding, help and back, a step back, quit.
	./press /dev/hvc0 5s u '?' '?' k k q > $OUT/press.txt 2>&1 || echo "press: $?"
	wait $shown
	rc=$?
	echo "== the end of the terminal UI: $rc" > /dev/hvc0
	[ $rc = 0 ] || die "evtrace tui on the console: $rc: $(cat $OUT/tui-error.txt)"
fi
