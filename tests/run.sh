#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the tests need (Debian 12), builds, runs everything: lint, unit tests and fuzzer corpora (gcc, clang, ASan+UBSan,
# TSan), then the scenarios in network namespaces. Ends with pytest's summary line; the exit status is 0 only if all passed.
#   tests/run.sh             everything
#   tests/run.sh --quick     one build, unit tests and corpora only
set -euo pipefail
case ${1-} in
    "" | --quick) ;;
    --help | -h) sed -n '3,6s/^# //p' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown option $1; see --help" >&2; exit 2 ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/conf/packages.sh"
cd "$root"

test_packages=(aria2 check chromium clang clang-format clang-tidy cppcheck curl dante-client default-jdk-headless git golang-go
    gnuplot-nox iperf3 iproute2 iptables lftp libc6-dev-arm64-cross libcap2-bin lld mandoc mptcpize musl-tools ncat nftables nginx-light
    openssh-client openssh-server procps prometheus proxychains4 python3 python3-aiohttp python3-jsonschema python3-pytest
    python3-pytest-xdist python3-socks redis-server redis-tools socat strace systemd tcpdump tshark valgrind wget)
command -v npm >/dev/null || test_packages+=(nodejs npm)
[ "${1-}" != --quick ] || test_packages=(check)
install_packages "${build_packages[@]}" "${test_packages[@]}"

jobs=$(nproc)

# name, then cmake arguments: configure, build. Output only when something fails.
build_only() {
    local name=$1 dir=$root/build/$1 log
    shift
    log=$(mktemp)
    echo "== $name: build"
    if ! { cmake -S "$root" -B "$dir" -G Ninja "$@" && cmake --build "$dir" -j "$jobs"; } >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    rm -f "$log"
}

# The same, then ctest.
run_build() {
    local dir=$root/build/$1 log
    build_only "$@"
    log=$(mktemp)
    echo "== $1: ctest"
    if ! ctest --test-dir "$dir" --output-on-failure -j "$jobs" ${ctest_args[@]+"${ctest_args[@]}"} >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    grep -vE '^( *Start|.* Passed )' "$log"
    if [ -n "${MPCONVERT_NO_SKIPS-}" ] && grep -q 'Skipped' "$log"; then
        echo "tests were skipped, and no skips are allowed here" >&2
        exit 1
    fi
    rm -f "$log"
}

dev=(-DCMAKE_BUILD_TYPE=Debug -DMPCONVERT_WERROR=ON)
if [ "${1-}" = --quick ]; then
    ctest_args=(-LE lint)
    run_build dev "${dev[@]}"
    exit 0
fi
ctest_args=()
run_build dev "${dev[@]}"
ctest_args=(-LE lint)
build_only clang "${dev[@]}" -DCMAKE_C_COMPILER=clang
run_build asan "${dev[@]}" -DSANITIZE=address,undefined
run_build tsan "${dev[@]}" -DSANITIZE=thread

echo "== scenarios in network namespaces"
export MPCONVERTD=$root/build/asan/server/mpconvertd MPCONVERT_TOOLS=$root/build/dev/tests/support
# The client as it is used: a sanitizer's library does not belong into other people's programs.
[ ! -x "$root/build/dev/client/mpconvert" ] || export MPCONVERT=$root/build/dev/client/mpconvert
export PYTHONDONTWRITEBYTECODE=1 # in the workers as well
# Mostly they wait: more workers than processors. Each has a lab of its own.
workers=$((jobs > 4 ? 8 : 2 * jobs))
exec /usr/bin/python3 -m pytest -q -p no:cacheprovider -n "$workers" --dist loadgroup tests/integration
