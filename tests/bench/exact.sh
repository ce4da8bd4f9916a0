#!/bin/bash
# SPDX-License-Identifier: MIT
# Exact listeners: does connect() tell the truth in time, and what does it cost? tests/bench/exact.sh [ROUNDS]
#   BUILD=DIR     where the tree is built (default: build/bench; made when it is not there)
#   DAEMON=FILE   the daemon (default: the build's)
#   ROWS=...      of: delay storm cost plain (default: all)
# In a private network name space: client, concentrator and target on one machine; the target 100 ms away is in a second name space,
# behind pathemu. Rounds of all kinds alternate; the figure is the median of the rounds. Where time is measured everything runs with
# real-time priority if that is permitted; where CPU is measured, with the usual one, the daemon alone on one core: with a higher one
# it is woken for every packet, takes nothing in batches, and is twice as dear without exact listeners. Exit status 1: a criterion is
# not met.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/build/bench}

if [ "${1:-}" != "--in-namespace" ]; then
    if [ -z "${BUILD:-}" ]; then
        cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON >/dev/null
    fi
    cmake --build "$build" --target mpconvertd exact_connects bench_origin pathemu >/dev/null
    user=
    [ "$(id -u)" -eq 0 ] || user=-Ur
    exec unshare $user -n -- "$0" --in-namespace "$@"
fi
rounds=${2:-5}
rows=${ROWS:-delay storm cost plain}
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$scratch"' EXIT
export XTABLES_LOCKFILE=$scratch/xtables.lock PATH=$PATH:/usr/sbin:/sbin
near=192.0.2.1:7000 silent=203.0.113.1:7000 far=198.51.100.1:7000 closed=198.51.100.1:7777 walled=198.51.100.1:7778
exact=127.0.0.1:1080 usual=127.0.0.1:1081 # the listeners
pending=2000 rate=5000 give_up=14
queues=/proc/net/netfilter/nfnetlink_queue
refused=$(python3 -c 'import errno; print(errno.ECONNREFUSED)') unreachable=$(python3 -c 'import errno; print(errno.EHOSTUNREACH)')

# `$(at N) PROGRAM`: whoever is to be quick; the daemon and the target above the client, which would starve them on few cores.
priority="real-time priority"
chrt -f 10 true 2>/dev/null || priority="no real-time priority"
at() { [ "$priority" != "real-time priority" ] || echo "chrt -f $1"; }

# --- the scene ---

cat >"$scratch/conf.json" <<EOF
{
  "workers": ${WORKERS:-1},
  "listeners": [{"name": "exact", "address": "$exact", "exact": true}, {"name": "usual", "address": "$usual"}],
  "stats": {"address": "127.0.0.1:9180"},
  "clients": {"allow": ["127.0.0.0/8"], "trusted": ["127.0.0.0/8"]},
  "acl": {"rules": [{"action": "allow", "source": ["127.0.0.0/8"], "target": ["0.0.0.0/0"]}]},
  "limits": {"sessions": 9000, "sessions_per_source": 9000, "connects_per_source": 9000, "errors_per_second": 0},
  "timeouts": {"connect_seconds": $give_up},
  "log": {"level": "error"}
}
EOF
ulimit -n "$(ulimit -Hn)"
ip link set lo up
ip address add 192.0.2.1/32 dev lo
ip address add 203.0.113.1/32 dev lo
sysctl -qw net.ipv4.tcp_fastopen=0x603 net.ipv4.tcp_max_tw_buckets=0 net.ipv4.ip_local_port_range="10000 65000" \
    net.ipv4.tcp_max_syn_backlog=16384 net.core.somaxconn=16384
# IPv4's chains only are needed; the machine's own table is not touched: this name space has its own.
"$root/conf/exact-rules.sh" add --port "${exact#*:}" --queues "8803:$((8802 + ${WORKERS:-1}))"
"${MPCONVERT_IPTABLES:-iptables}" -A INPUT -p tcp -d "${silent%:*}" -j DROP

unshare -n -- sleep infinity &
other=$!
for _ in $(seq 100); do
    [ "$(readlink "/proc/$other/ns/net")" = "$(readlink /proc/self/ns/net)" ] || break
    sleep 0.02
done
ip link add v0 type veth peer name v1
ip link add w0 type veth peer name w1
ip link set w1 netns "$other"
ip address add 198.51.100.2/24 dev v0
for i in v0 v1 w0; do ip link set "$i" up; done
nsenter -t "$other" -n sh -c 'ip link set lo up; ip address add 198.51.100.1/24 dev w1; ip link set w1 up'
nsenter -t "$other" -n sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv4.icmp_msgs_per_sec=100000
nsenter -t "$other" -n "${MPCONVERT_IPTABLES:-iptables}" -A INPUT -p tcp --dport "${walled#*:}" -j REJECT --reject-with icmp-host-unreachable
mkfifo "$scratch/path"
$(at 40) "$build/tests/support/pathemu" leg:v1:w0:delay=50 <"$scratch/path" >/dev/null &
exec 9>"$scratch/path"

$(at 30) "${DAEMON:-$build/server/mpconvertd}" -c "$scratch/conf.json" >/dev/null &
daemon=$!
$(at 20) "$build/tests/bench/bench_origin" "$near" >/dev/null &
origin=$!
$(at 20) nsenter -t "$other" -n "$build/tests/bench/bench_origin" "$far" >/dev/null &
for there in "$exact" "$usual" "$near" "$far"; do
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/${there/://}") 2>/dev/null; then continue 2; fi
        sleep 0.05
    done
    echo "exact.sh: nobody listens on $there" >&2
    exit 2
done

# connects FILE HOW PROXY TARGET OPTIONS...: appends a line of results
connects() {
    local file=$1
    shift
    $(at 10) "$build/tests/bench/exact_connects" "$@" >>"$scratch/$file"
}

# CPU of the daemon so far, ns
cpu() {
    local sum=0 ns
    for f in /proc/"$daemon"/task/*/schedstat; do
        read -r ns _ <"$f"
        sum=$((sum + ns))
    done
    echo "$sum"
}

# --- the rows ---

delay() {
    local m
    for m in "" -m; do
        connects "far$m" through "$exact" "$far" -n 20 -x $m
        connects "closed$m" through "$exact" "$closed" -n 20 -x $m -w "$refused"
    done
    connects far-direct direct "$exact" "$far" -n 20
}

storm() {
    local n=$((rate * 2)) waiting
    connects silent through "$exact" "$silent" -n $pending -c $pending -r 2000 -x -w "$unreachable" -s $((give_up + 5)) &
    waiting=$!
    sleep 1.5
    held >>"$scratch/held"
    connects storm-direct direct "$exact" "$near" -n $n -c $n -r $rate
    connects storm-exact through "$exact" "$near" -n $n -c $n -r $rate -x
    connects storm-usual through "$usual" "$near" -n $n -c $n -r $rate -x
    held >>"$scratch/held"
    wait $waiting
    connects walled direct "$exact" "$walled" -n $pending -c $pending -r 2000 -w "$unreachable"
}

held() { # SYN-ACKs, for both looks
    count '["held_current"]'
}

count() { # PATH in the counters
    python3 -c 'import json, urllib.request; print(json.load(urllib.request.urlopen("http://127.0.0.1:9180/v1/stats"))["exact"]'"$1"')'
}

# everybody at the usual priority, daemon and others on different cores; and back
usual_priority() {
    set_priority "$daemon" -o 0 0
    set_priority "$origin" -o 0 "$last_core"
}
quick_again() {
    [ "$priority" = "real-time priority" ] || return 0
    set_priority "$daemon" -f 30 "0-$last_core"
    set_priority "$origin" -f 20 "0-$last_core"
}
last_core=$(($(nproc) - 1))
set_priority() { # PID POLICY PRIORITY CORES
    chrt -a "$2" -p "$3" "$1"
    taskset -a -c -p "$4" "$1" >/dev/null
}

cost() {
    local n=10000 m before
    usual_priority
    for m in "" -m; do
        for kind in exact usual; do
            before=$(cpu)
            taskset -c "$last_core" "$build/tests/bench/exact_connects" through "${!kind}" "$near" -n $n -c 64 -x -e $m >>"$scratch/cost-$kind$m"
            sleep 0.1
            echo $((($(cpu) - before) / n)) >>"$scratch/cpu-$kind$m"
        done
    done
    quick_again
}

plain() {
    connects plain-exact bare "$exact" "$near" -n 2000
    connects plain-usual bare "$usual" "$near" -n 2000
}

for _ in $(seq "$rounds"); do
    for row in $rows; do
        "$row"
    done
done
sleep 1

# --- the table ---

status=0
# of FILE COLUMN: the median of the rounds
of() { awk -v c="$2" '{ print $c }' "$scratch/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
sum() { awk -v c="$2" '{ s += $c } END { print s }' "$scratch/$1"; }
least() { awk -v c="$2" '{ print $c }' "$scratch/$1" | sort -n | head -1; }
calc() { awk "BEGIN { printf \"%.2f\", $1 }"; }
# say TEXT VALUE UNIT [OPERATOR LIMIT]
say() {
    local verdict=
    if [ $# -gt 3 ]; then
        verdict="$4 $5"
        awk "BEGIN { exit !($2 $4 $5) }" || { verdict="MISSED $verdict" status=1; }
    fi
    printf '%-62s %10s %-5s %s\n' "$1" "$2" "$3" "$verdict"
}
wants() { case " $rows " in *" $1 "*) ;; *) return 1 ;; esac }

echo "$rounds rounds, $priority, ${WORKERS:-1} worker(s), $(nproc) cores"
if wants delay; then
    say "100 ms away: a direct connect, median" "$(calc "$(of far-direct 1) / 1000")" ms
    for m in "" -m; do
        n=TCP
        [ -z "$m" ] || n=MPTCP
        say "$n, 100 ms away: connect() itself returns, slowest of 20" "$(calc "$(of far$m 6) / 1000")" ms "<" 1
        say "$n, 100 ms away: writable after, median" "$(calc "$(of far$m 1) / 1000")" ms "<=" 105
        say "$n, 100 ms away: writable after, slowest of 20" "$(calc "$(of far$m 3) / 1000")" ms "<=" 105
        say "$n, 100 ms away, refused: ECONNREFUSED after, slowest of 20" "$(calc "$(of closed$m 3) / 1000")" ms "<=" 105
        say "$n: wrong outcomes" "$(($(sum far$m 4) + $(sum closed$m 4)))" "" "==" 0
    done
fi
if wants storm; then
    say "SYN-ACKs held during the storm, least" "$(least held 1)" "" ">=" $pending
    say "connects begun 1 ms late or more, direct" "$(sum storm-direct 7)" ""
    say "connects begun 1 ms late or more, exact" "$(sum storm-exact 7)" ""
    say "$rate/s direct: median" "$(of storm-direct 1)" us
    say "$rate/s direct: p99" "$(of storm-direct 2)" us
    say "$rate/s exact: median" "$(of storm-exact 1)" us
    say "$rate/s exact: p99" "$(of storm-exact 2)" us
    say "$rate/s exact: added p99" "$(calc "($(of storm-exact 2) - $(of storm-direct 2)) / 1000")" ms "<" 2
    say "wrong outcomes, of the storm" "$(sum storm-exact 4)" "" "==" 0
    say "wrong outcomes, of $pending connects to the silent target a round" "$(sum silent 4)" "" "==" 0
    say "of these, ready before SO_ERROR told (the client's kernel)" "$(sum silent 8)" ""
    say "the same of $pending direct connects, refused by ICMP" "$(sum walled 8)" ""
    say "those to the silent target had all ended after" "$(calc "$(of silent 5) - $pending / 2000")" s "<=" "$give_up.5"
    say "SYN-ACKs let go because their time was up" "$(count '["expired_total"]')" "" "==" 0
    say "SYN-ACKs still held: by the daemon" "$(count '["held_current"]')" "" "==" 0
    if [ -r "$queues" ]; then
        say "SYN-ACKs still held: by the kernel" "$(awk '{ s += $3 } END { print s + 0 }' "$queues")" "" "==" 0
        say "SYN-ACKs the queues had no room for" "$(awk '{ s += $6 + $7 } END { print s + 0 }' "$queues")" "" "==" 0
    else
        echo "not judged, because only root may read $queues: what the kernel still holds"
    fi
fi
if wants cost; then
    for m in "" -m; do
        n=TCP
        [ -z "$m" ] || n=MPTCP
        paste "$scratch/cpu-exact$m" "$scratch/cpu-usual$m" | awk '{ print $1 / $2 }' >"$scratch/ratio$m"
        say "$n: CPU per connection, not exact" "$(calc "$(of cpu-usual$m 1) / 1000")" us
        say "$n: CPU per connection, exact" "$(calc "$(of cpu-exact$m 1) / 1000")" us
        say "$n: exact / not exact" "$(calc "$(of "ratio$m" 1)")" "" "<=" 1.5
        say "$n: wrong outcomes" "$(($(sum cost-exact$m 4) + $(sum cost-usual$m 4)))" "" "==" 0
    done
    say "SYN-ACKs the kernel was asked about, of all queued" "$(calc "100 * $(count '["lookups_total"]') / ($(count '["packets_total"]["held"]') + $(count '["packets_total"]["plain"]') + 1)")" %
fi
if wants plain; then
    say "no request in the SYN: connect() to a usual listener, median" "$(of plain-usual 1)" us
    say "no request in the SYN: connect() to an exact listener, median" "$(of plain-exact 1)" us
    say "no request in the SYN: connect() to a usual listener, p99" "$(of plain-usual 2)" us
    say "no request in the SYN: connect() to an exact listener, p99" "$(of plain-exact 2)" us
fi
exit $status
