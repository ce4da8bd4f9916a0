#!/bin/sh
# SPDX-License-Identifier: MIT
# A concentrator on the path of its customers' traffic: concentrator.sh setup|run|start|stop. README.md beside it says what for.
set -eu
customers=core

here=$(cd "$(dirname "$0")" && pwd)
config=concentrator.json
# shellcheck source=conf/examples/common.sh
. "$here/../common.sh"

up() {
    sysctl -qw net.ipv4.tcp_fastopen=3 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip mptcp limits set subflows 4 add_addr_accepted 4
    marked_is_local
    nft -D customers="{ $customers }" -f "$rules/on-path.nft"
}

down() {
    nft delete table inet mpconvert_onpath 2>/dev/null || true
    no_source_route 7374
}

main "$@"
