#!/bin/sh
# SPDX-License-Identifier: MIT
# A host with two interfaces: client.sh setup|stop. README.md beside it says what for.
set -eu
second=cell0 second_address=192.0.2.129 second_gateway=192.0.2.130

here=$(cd "$(dirname "$0")" && pwd)
config=client.json
# shellcheck source=conf/examples/common.sh
. "$here/../common.sh"

up() {
    ip mptcp limits set subflows 4 add_addr_accepted 4
    further_path 102 $second $second_address $second_gateway
}

down() {
    no_further_path $second_address
    no_source_route 102
}

case ${1-} in
start | run) echo "a host runs no daemon: setup, then mpconvert run" >&2 && exit 2 ;;
esac
main "$@"
