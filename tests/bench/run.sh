#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the benchmark in a private network name space: tests/bench/run.sh [options of bench.py]
#   BUILD=DIR   where the tree is built (default: build/bench; made when mpconvertd or the bench programs are not there)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/build/bench}

if [ "${1:-}" != "--in-namespace" ]; then
    missing=
    for pair in microsocks:microsocks danted:dante-server haproxy:haproxy nginx:nginx-light strace:strace; do
        PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing="$missing libnginx-mod-stream"
    if [ -n "$missing" ]; then
        sudo=
        [ "$(id -u)" -eq 0 ] || sudo=sudo
        # Debian starts what it installs; nothing here wants a system-wide proxy.
        $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends $missing ||
            echo "not installed:$missing (their rows are left out)" >&2
    fi
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON >/dev/null
    cmake --build "$build" --target bench_programs mpconvertd pathemu origin >/dev/null
    user=
    [ "$(id -u)" -eq 0 ] || user=-Ur
    exec unshare $user -nm -- "$0" --in-namespace "$build" "$@"
fi
shift
build=$1
shift

# The row ttfo names its name spaces: in a /run nobody else sees.
mount -t tmpfs none /run
mkdir /run/netns
export MPCONVERT_IN_USERNS=1
ip link set lo up
# A congestion control that does not pace, no TIME_WAIT left by the round before, ports enough for every rate measured.
sysctl -qw net.ipv4.tcp_congestion_control="${CC_ALG:-reno}" net.ipv4.tcp_max_tw_buckets=0 net.ipv4.ip_local_port_range="10000 65000" \
    net.core.somaxconn=8192 net.ipv4.tcp_max_syn_backlog=8192 net.ipv4.tcp_fastopen=0x607
daemon=${DAEMON:-$build/server/mpconvertd}
set -- --build "$build" "$@"
[ -x "$daemon" ] && set -- --daemon "$daemon" "$@"
case " $* " in
*" --json "*) ;;
*) set -- "$@" --json "$root/build/bench.json" ;;
esac
exec /usr/bin/python3 -B "$here/bench.py" "$@"
