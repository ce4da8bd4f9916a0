#!/bin/sh
# SPDX-License-Identifier: MIT
# An explicit concentrator: concentrator.sh setup|run|start|stop. README.md beside it says what for.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
config=concentrator.json
# shellcheck source=conf/examples/common.sh
. "$here/../common.sh"

up() {
    sysctl -qw net.ipv4.tcp_fastopen=3
    ip mptcp limits set subflows 4 add_addr_accepted 4
}

down() {
    :
}

main "$@"
