# SPDX-License-Identifier: MIT
# Sourced by conf/quickstart.sh and tests/run.sh: install_packages NAME... installs the Debian packages that are missing, with sudo
# when not root.

install_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "these Debian packages are missing, and there is no sudo to install them: ${missing[*]}" >&2; return 1; }
        sudo=(sudo)
    fi
    echo "installing: ${missing[*]}" >&2
    # RUNLEVEL=1: Debian would start the servers it installs.
    "${sudo[@]}" apt-get update -qq >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# shellcheck disable=SC2034 # used by whoever sources this
build_packages=(ca-certificates cmake gcc libc6-dev libc-ares-dev libcrypt-dev libjansson-dev libmicrohttpd-dev libmnl-dev
    libnetfilter-queue-dev libnftnl-dev libssl-dev libuv1-dev ninja-build pkg-config)
