#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# enter.sh SCRIPT [OPTION]...: runs the lab.py beside SCRIPT in private network and mount namespaces, as root or, where user
# namespaces are allowed, as a plain user. Nothing outside is changed, and nothing is left: the namespaces end with the lab.
# MPCONVERTD and MPCONVERT name built programs; without them build/release is used, and built when it is not there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

if [ "${1-}" != --inside ]; then
    folder=$(cd "$(dirname "$1")" && pwd)
    shift
    case " $* " in *" --help "* | *" -h "*) exec /usr/bin/python3 -B "$folder/lab.py" --help ;; esac
    if [ -z "${MPCONVERTD-}" ]; then
        # shellcheck source=conf/packages.sh
        . "$root/conf/packages.sh"
        install_packages "${build_packages[@]}" curl gnuplot-nox iproute2 mptcpize nftables python3
        build=$root/build/release
        if ! { cmake -S "$root" --preset release && cmake --build "$build"; } >"${log:=$(mktemp)}" 2>&1; then
            cat "$log" >&2
            exit 1
        fi
        rm -f "$log"
        export MPCONVERTD=$build/server/mpconvertd MPCONVERT=$build/client/mpconvert
    fi
    user=()
    [ "$(id -u)" -eq 0 ] || user=(-Ur)
    exec unshare "${user[@]}" -nm -- "$0" --inside "$folder" "$@"
fi

# The lab names its namespaces: in a /run nobody else sees.
mount -t tmpfs none /run
mkdir /run/netns
ip link set lo up
exec /usr/bin/python3 -B "$2/lab.py" "${@:3}"
