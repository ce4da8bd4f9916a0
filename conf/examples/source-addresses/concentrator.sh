#!/bin/sh
# SPDX-License-Identifier: MIT
# A concentrator that chooses source addresses: concentrator.sh setup|run|start|stop. README.md beside it says what for.
set -eu
wan=out pool=203.0.113.192/28

here=$(cd "$(dirname "$0")" && pwd)
config=concentrator.json
# shellcheck source=conf/examples/common.sh
. "$here/../common.sh"

up() {
    sysctl -qw net.ipv4.tcp_fastopen=3 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip mptcp limits set subflows 4 add_addr_accepted 4
    ip route replace local $pool dev lo
    marked_is_local
    nft -D wan="{ $wan }" -f "$rules/preserve.nft"
}

down() {
    nft delete table inet mpconvert_preserve 2>/dev/null || true
    no_source_route 7374
    ip route del local $pool dev lo 2>/dev/null || true
}

main "$@"
