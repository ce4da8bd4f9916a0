#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# sanitized_storm.sh STORMER PRELOAD_LIBRARY MPCONVERTD [SANITIZERS]: the stormer under the client's core as it was built, in every
# way of waiting, through a concentrator of the same build. Fails when an event is lost, a descriptor is left, a sanitizer reports, or
# the connections did not go through the concentrator.
set -uo pipefail
stormer=${1:?} library=${2:?} daemon=${3:?} sanitizers=${4-}
modes=(poll select epoll-lt epoll-et epoll-oneshot)
connects=300

if [ "${5-}" != --in-namespace ]; then
    user=()
    [ "$(id -u)" -eq 0 ] || user=(-Ur)
    unshare ${user[@]+"${user[@]}"} -n true || { echo "no network name space" && exit 77; }
    exec unshare ${user[@]+"${user[@]}"} -n -- "$0" "$stormer" "$library" "$daemon" "$sanitizers" --in-namespace
fi
scratch=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$scratch"' EXIT
fail() {
    echo "$1"
    head -c 4000 "$scratch"/{report.*,log} 2>/dev/null
    exit 1
}

ip link set lo up
ip address add 192.0.2.1/32 dev lo
sysctl -qw net.ipv4.tcp_fastopen=0x603
cat >"$scratch/config" <<'END'
{
  "listeners": [{"name": "main", "address": "127.0.0.1:1080"}],
  "stats": {"address": "127.0.0.1:9180"},
  "clients": {"allow": ["127.0.0.0/8", "192.0.2.0/24"], "trusted": ["127.0.0.0/8", "192.0.2.0/24"]},
  "log": {"level": "warning"}
}
END
"$daemon" -c "$scratch/config" 2>"$scratch/log" &
# ask PATH: the body of the endpoint's answer
ask() {
    local line
    exec 3<>/dev/tcp/127.0.0.1/9180 || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
    while read -r line <&3 && [ "$line" != $'\r' ]; do :; done
    cat <&3
    exec 3>&-
}
for _ in $(seq 200); do
    ask /healthz >/dev/null 2>&1 && break
    sleep 0.05
done
ask /v1/stats | grep -q accepted_total || fail "mpconvertd does not run"

# gcc's runtime is a library, and it must be the first one; clang's is in the program.
first=
case $sanitizers in
*address*) name=libasan.so ;;
*thread*) name=libtsan.so ;;
*) name= ;;
esac
[ -z "$name" ] || first=$(ldd "$stormer" | sed -nE "s|.*${name}[.0-9]* => ([^ ]+) .*|\1|p")
export MPCONVERT_PROXY=127.0.0.1:1080 MPCONVERT_CACHE=none
export ASAN_OPTIONS="detect_leaks=0:log_path=$scratch/report" UBSAN_OPTIONS="log_path=$scratch/report" TSAN_OPTIONS="log_path=$scratch/report"
# storm DIALECT MODE
storm() {
    local said=$scratch/said.$1.$2
    LD_PRELOAD="${first:+$first:}$library" MPCONVERT_DIALECT=$1 timeout 60 "$stormer" --address 192.0.2.1 --mode "$2" --before --early 25 \
        --refused 10 --connects $connects >"$said" 2>&1 || echo "status $?" >>"$said"
}
for mode in "${modes[@]}"; do
    # Side by side: most of a storm's time the library's thread waits for more to do, before it ends.
    storm mp_convert "$mode" &
    one=$!
    storm socks5 "$mode" &
    wait $one $!
    for said in "$scratch/said."*".$mode"; do
        cat "$said"
        [ "$(wc -l <"$said")" -eq 1 ] && grep -q '"lost": 0, "late": 0, "wrong": 0' "$said" || fail "${said##*/}"
    done
    [ -z "$(find "$scratch" -name 'report*')" ] || fail "$mode: a report"
done
sessions=$(ask /v1/stats | grep -oE '"accepted_total": ?[0-9]+' | grep -oE "[0-9]+" | head -1)
# Some were given up before they began.
[ "${sessions:-0}" -ge $((2 * ${#modes[@]} * connects / 2)) ] || fail "only ${sessions:-0} went through the concentrator"
