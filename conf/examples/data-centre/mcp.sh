#!/bin/sh
# SPDX-License-Identifier: MIT
# In front of servers with several links: mcp.sh setup|run|start|stop. README.md beside it says what for.
set -eu
clients=front

here=$(cd "$(dirname "$0")" && pwd)
config=mcp.json
# shellcheck source=conf/examples/common.sh
. "$here/../common.sh"

up() {
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip mptcp limits set subflows 4 add_addr_accepted 4
    divert $clients "$here/front.nft"
}

down() {
    no_divert
}

main "$@"
