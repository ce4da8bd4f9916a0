#!/bin/sh
# SPDX-License-Identifier: MIT
# A CPE with several concentrators: cpe.sh setup|run|start|stop. README.md beside it says what for.
set -eu
lan=lan0
wan2=wan2 wan2_address=192.0.2.129 wan2_gateway=192.0.2.130
wan2_address6=2001:db8:0:2::1 wan2_gateway6=2001:db8:0:2::2

here=$(cd "$(dirname "$0")" && pwd)
config=cpe.json
# shellcheck source=conf/examples/common.sh
. "$here/../common.sh"

up() {
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip mptcp limits set subflows 4 add_addr_accepted 4
    further_path 102 $wan2 $wan2_address $wan2_gateway
    further_path 102 $wan2 $wan2_address6 $wan2_gateway6
    divert $lan
}

down() {
    no_divert
    no_further_path $wan2_address $wan2_address6
    no_source_route 102
}

main "$@"
