#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is needed (Debian 12), builds the release and starts the concentrator on this machine:
#   conf/quickstart.sh                   SOCKS5, MP_CONVERT and RFC 8803 on 127.0.0.1:1080, stats on 127.0.0.1:9180, until Ctrl-C
#   conf/quickstart.sh PROGRAM ARGS...   runs the program through it with `mpconvert run`, and ends when the program ends
# Settings of the environment count: MPCONVERT_DIALECT=socks5 conf/quickstart.sh curl ... Counters are printed at the end.
# It listens on loopback only. Whoever can use it could reach loopback and private addresses anyway, so these targets are allowed here;
# the default configuration (conf/mpconvertd.json) denies them.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/conf/packages.sh"

install_packages "${build_packages[@]}"
build=$root/build/release
targets=(mpconvertd mpconvert mpconvert_preload mpconvert_dns)
if ! { cmake -S "$root" --preset release && cmake --build "$build" --target "${targets[@]}"; } >"${log:=$(mktemp)}" 2>&1; then
    cat "$log" >&2
    exit 1
fi
rm -f "$log"

daemon=$build/server/mpconvertd
config=$root/conf/quickstart.json

if [ $# -eq 0 ]; then
    cat >&2 <<EOF
mpconvertd on 127.0.0.1:1080 (SOCKS5, MP_CONVERT, RFC 8803), stats on http://127.0.0.1:9180/v1/stats
It listens on loopback only and therefore allows loopback and private targets; the default configuration denies them.
Try, in another terminal:
  curl --proxy socks5h://127.0.0.1:1080 http://example.org/
  curl http://127.0.0.1:9180/v1/stats
  $root/conf/quickstart.sh curl -sS http://example.org/      (after Ctrl-C here)
EOF
    exec "$daemon" -c "$config"
fi

log=$(mktemp)
"$daemon" -c "$config" 2>"$log" &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -f "$log"' EXIT
ready=
for _ in $(seq 100); do
    if (exec 3<>/dev/tcp/127.0.0.1/1080) 2>/dev/null; then
        ready=1
        break
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
done
if [ -z "$ready" ] || ! kill -0 "$pid" 2>/dev/null; then
    echo "mpconvertd did not start:" >&2
    cat "$log" >&2
    exit 1
fi
# The same kernel is on both sides: a daemon that does not take data in SYNs would cost the program Multipath TCP the first time.
(($(</proc/sys/net/ipv4/tcp_fastopen) & 2)) || export MPCONVERT_TFO=${MPCONVERT_TFO-off}
status=0
"$build/client/mpconvert" run --proxy 127.0.0.1:1080 --stats -- "$@" || status=$?
exit "$status"
