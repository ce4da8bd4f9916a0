#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# banned.sh SOURCE_DIR [BUILD_DIR]: no call that has a safer one; no variable of static storage that can change, in the libraries of
# BUILD_DIR (skipped for instrumented and LTO objects, which bring their own).
set -u
# shellcheck source=tests/lint/sources.bash
. "$(dirname "$0")/sources.bash"
src=${1:?source directory}
build=${2:-}
bad=0
calls='(strcpy|strcat|sprintf|vsprintf|atoi|atol|strtok|rand|random|inet_ntoa|alloca|gets)'

for f in $(sources "$src" 'common/*.c' 'common/*.h' 'server/*.c' 'server/*.h' 'client/*.c' 'client/*.h' 'tests/*.c' 'tests/*.h'); do
    hits=$(code "$src/$f" | grep -nE "(^|[^A-Za-z0-9_])$calls[[:space:]]*\(")
    if [ -n "$hits" ]; then
        echo "$hits" | sed "s|^|$f:|"
        bad=1
    fi
done
[ -n "$build" ] || exit $bad

command -v objdump >/dev/null || exit $((bad ? 1 : 77))
for lib in libwire libbase libdaemon; do
    for a in $(find "$build" -name "$lib.a"); do
        if objdump -h "$a" | grep -q '\.gnu\.lto_' || objdump -t "$a" | grep -qE '__(asan|tsan|ubsan|llvm_profile|gcov|sancov)_'; then
            echo "$a is instrumented or LTO: variables not checked" >&2
            continue
        fi
        # "ADDRESS FLAGS SECTION SIZE NAME"; .data.rel.ro is const data with addresses in it.
        hits=$(objdump -t "$a" | awk '
            /:[[:space:]]+file format/ { file = $1; sub(/:$/, "", file) }
            NF >= 5 && $(NF - 2) ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && $(NF - 2) !~ /^\.data\.rel\.ro/ && $NF !~ /^\./ {
                print file ": " $NF " in " $(NF - 2)
            }')
        if [ -n "$hits" ]; then
            echo "$hits" | sed "s|^|mutable: $lib.a: |"
            bad=1
        fi
    done
done
exit $bad
