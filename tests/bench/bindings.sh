#!/bin/sh
# SPDX-License-Identifier: MIT
# The bindings of a CPE beside those of a concentrator: tests/bench/bindings.sh [options of bindings.py]
#   BUILD=DIR   where the tree is built (default: build/bench; made when it is not there)
# In private network name spaces. Exit status 1: a criterion is not met.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/build/bench}

if [ "${1:-}" != "--in-namespace" ]; then
    if [ ! -x "$build/tests/bench/loadgen" ] || [ ! -x "$build/server/mpconvertd" ]; then
        cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON >/dev/null
        cmake --build "$build" --target mpconvertd loadgen bench_origin pathemu >/dev/null
    fi
    user=
    [ "$(id -u)" -eq 0 ] || user=-Ur
    exec unshare $user -nm -- "$0" --in-namespace "$@"
fi
shift

# The lab names its name spaces: in a /run nobody else sees.
mount -t tmpfs none /run
mkdir /run/netns
export MPCONVERT_IN_USERNS=1
ip link set lo up
exec /usr/bin/python3 -B "$here/bindings.py" --build "$build" "$@"
