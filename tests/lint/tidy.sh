#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tidy.sh SOURCE_DIR BUILD_DIR: clang-tidy has nothing to say about common/, server/ and client/.
set -u
src=$(realpath "${1:?source directory}")
build=${2:?build directory}
command -v clang-tidy >/dev/null || exit 77
[ -e "$build/compile_commands.json" ] || {
    echo "$build/compile_commands.json is missing"
    exit 1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Each file once, in a process of its own (clang-tidy 14 carries va_list findings over), by the paths the build uses. Warnings of gcc that clang does not know are none.
sed -n 's/^[[:space:]]*"file":[[:space:]]*"\(.*\)",\{0,1\}[[:space:]]*$/\1/p' "$build/compile_commands.json" | sort -u |
    grep -E "^$src/(common|server|client)/" |
    xargs -r -P 2 -n 1 clang-tidy --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option >"$log" 2>/dev/null
status=$?
grep -E ': (warning|error):' "$log" | sort -u
exit $((status == 0 ? 0 : 1))
