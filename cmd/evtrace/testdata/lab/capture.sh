# A job of the lab: record a load with the script that evtrace probes prints in the guest itself.
# options: load=evpp|evlost|evload  bug=0|1 (evpp: with the unmask of 2005 in the kernel)  seconds=12  rounds=2 (evlost)
# It leaves capture.tar; probes.json and the script; truth*.txt, what the load and the modules know; truth-trace.txt,
# what the modules' own probes say, recorded by another session in tracefs' own buffer; and before.txt and after.txt, the state of
# tracefs, which must not differ.
. /lab/lib.sh
options "load=evload bug=0 seconds=12 rounds=2" "$@"
state() {
	for f in trace_clock buffer_size_kb tracing_on current_tracer events/enable kprobe_events; do
		echo "== $f"
		cat $T/$f
	done
	ls $T/instances
}
./evtrace probes --json > $OUT/probes.json || die "evtrace probes: $?"
./evtrace probes -o record.sh --tar $OUT/capture.tar || die "evtrace probes -o: $?"
cp record.sh $OUT/record.sh
hcsites < /lab/probes/hypercalls.txt > $OUT/hcsites.txt 2>&1
case $load$bug in
evpp1) own=evbug ;;
evlost*) own=evlost ;;
*) own= ;;
esac
[ -z "$own" ] || probe_file /lab/probes/$own.txt
echo x86-tsc > $T/trace_clock
echo 8192 > $T/buffer_size_kb
[ -z "$own" ] || echo 1 > $T/events/evtchn/enable
echo 1 > $T/tracing_on
log_lines=$(dmesg | wc -l)
state > $OUT/before.txt

sh ./record.sh -s 600 > $OUT/record.log 2>&1 &
recorder=$!
n=0
until grep -q 'recording (' $OUT/record.log; do
	n=$((n + 1))
	[ $n -lt 120 ] && kill -0 $recorder 2> /dev/null || die "it does not record: $(cat $OUT/record.log)"
	sleep 1
done
case $load in
evpp)
	[ $bug = 0 ] || insmod /mod/evbug.ko || die "evbug.ko was refused"
	evpp 100 $seconds 4000 300 1 60 600 > $OUT/truth-load.txt 2>&1 ;;
evlost)
	insmod /mod/evlost.ko rounds=$rounds wait_ms=500 fill=110 cpu_home=0 cpu_other=1 || die "evlost.ko was refused" ;;
evload)
	load pipe,disk,console
	evload 60 $seconds 2000 > $OUT/truth-load.txt 2>&1
	load_off ;;
esac
kill -INT $recorder 2> /dev/null; kill -TERM $recorder # a shell's background job ignores SIGINT
wait $recorder
echo $? > $OUT/record.rc
# The modules go only when nothing is probed in them any more.
state > $OUT/after.txt
cat $T/trace > $OUT/truth-trace.txt
echo 0 > $T/events/enable
echo > $T/kprobe_events
case $load$bug in
evpp1) rmmod evbug ;;
evlost*) rmmod evlost ;;
esac
kernel_log > $OUT/truth.txt
cat $OUT/record.log
[ "$(cat $OUT/record.rc)" = 0 ] || die "the script ended with $(cat $OUT/record.rc)"
cmp $OUT/before.txt $OUT/after.txt || die "tracefs is not as it was: $(diff $OUT/before.txt $OUT/after.txt)"
