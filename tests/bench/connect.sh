#!/bin/bash
# SPDX-License-Identifier: MIT
# What the client adds to connect() on a non-blocking socket, beside a bare connect() in the same run: tests/bench/connect.sh [ROUNDS]
#   BUILD=DIR     where the tree is built (default: build/bench; made when it is not there)
#   PRELOAD=FILE  the library (default: the build's)
# In a private network name space; concentrator, target and program on one machine. Rounds of all kinds alternate, so that a machine
# that is busy for a while is busy for all; the figure is the median of the rounds. Exit status 1: a criterion is not met.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/build/bench}

if [ "${1:-}" != "--in-namespace" ]; then
    if [ -z "${PRELOAD:-}" ]; then
        cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON >/dev/null
        cmake --build "$build" --target mpconvertd mpconvert mpconvert_preload >/dev/null
    fi
    user=
    [ "$(id -u)" -eq 0 ] || user=-Ur
    exec unshare $user -n -- "$0" --in-namespace "$@"
fi
rounds=${2:-9}
count=500
preload=${PRELOAD:-$build/client/libmpconvert_preload.so}
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$scratch"' EXIT

ip link set lo up
ip address add 192.0.2.1/32 dev lo
sysctl -qw net.ipv4.tcp_fastopen=0x603 net.ipv4.tcp_max_tw_buckets=0 net.ipv4.ip_local_port_range="10000 65000"
"${CC:-cc}" -O2 -D_GNU_SOURCE -o "$scratch/connect" "$here/connect.c"
"${DAEMON:-$build/server/mpconvertd}" -c "$root/conf/quickstart.json" 2>"$scratch/log" &
/usr/bin/python3 -c '
import socket
s = socket.create_server(("192.0.2.1", 7000), backlog=1024)
while True:
    s.accept()[0].close()' &
for port in 127.0.0.1/1080 192.0.2.1/7000; do
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/$port") 2>/dev/null; then continue 2; fi
        sleep 0.05
    done
    cat "$scratch/log" >&2
    exit 2
done

export MPCONVERT_PROXY=127.0.0.1:1080 MPCONVERT_CACHE=none
kinds=(bare preload bypassed)
[ ! -x "$build/client/mpconvert" ] || [ -n "${PRELOAD:-}" ] || kinds+=(seccomp seccomp300)
measure() {
    case $1 in
    bare) "$scratch/connect" 192.0.2.1 7000 $count ;;
    preload) LD_PRELOAD=$preload "$scratch/connect" 192.0.2.1 7000 $count ;;
    bypassed) MPCONVERT_BYPASS=192.0.2.0/24 LD_PRELOAD=$preload "$scratch/connect" 192.0.2.1 7000 $count ;;
    seccomp*) "$build/client/mpconvert" run --seccomp --proxy 127.0.0.1:1080 -- "$scratch/connect" 192.0.2.1 7000 $count "${1#seccomp}" ;;
    esac
}
for _ in $(seq "$rounds"); do
    for kind in "${kinds[@]}"; do
        measure "$kind" >>"$scratch/$kind"
    done
done

# median KIND COLUMN
median() {
    awk -v c="$2" '{ print $c }' "$scratch/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
declare -A most=([preload]=40 [bypassed]=2 [seccomp]=400 [seccomp300]=400)
declare -A name=([seccomp300]="seccomp, 300 open fds")
bare=$(median bare 1)
status=0
printf '%-22s %10s %10s %10s %14s %10s\n' connect "p50 us" "p90 us" "p99 us" "added p50 us" criterion
for kind in "${kinds[@]}"; do
    awk -v k="${name[$kind]:-$kind}" -v a="$(median "$kind" 1)" -v b="$(median "$kind" 2)" -v c="$(median "$kind" 3)" -v bare="$bare" -v most="${most[$kind]:-}" '
        BEGIN {
            printf "%-22s %10.1f %10.1f %10.1f", k, a / 1000, b / 1000, c / 1000
            if (most == "") { print ""; exit 0 }
            good = (a - bare) / 1000 <= most
            printf " %14.1f %10s\n", (a - bare) / 1000, (good ? "<= " : "MISSED ") most
            exit !good
        }' || status=1
done
exit $status
