# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the examples' scripts. Each of them is run as root on the machine it is for, with one of:
#   setup       sets the machine up; again, as after a line went down and its routes with it: puts back what is missing
#   run         becomes the daemon, in the foreground
#   start       both
#   stop        takes back what was set up: the emergency off, also while the daemon runs
# DAEMON names mpconvertd where it is not in PATH, CONFIG another configuration than the one beside the script. Everything else that
# differs from site to site stands at the top of each script.

rules=${here:?}/../../nft

# further_path TABLE DEVICE ADDRESS GATEWAY: the path manager may join from ADDRESS, and what has it as source leaves by DEVICE.
further_path() {
    source_route "$@"
    ip mptcp endpoint show | grep -q "^$3 " || ip mptcp endpoint add "$3" dev "$2" subflow
}

no_further_path() {
    for address in "$@"; do
        ip mptcp endpoint show | while read -r known _ id _; do
            [ "$known" != "$address" ] || ip mptcp endpoint del id "$id"
        done
    done
}

# source_route TABLE DEVICE ADDRESS GATEWAY
source_route() {
    case $3 in
    *:*) family=-6 ;;
    *) family=-4 ;;
    esac
    ip "$family" route replace default via "$4" dev "$2" table "$1"
    rule "$family" from "$3" lookup "$1"
}

# rule FAMILY SELECTOR... : once, however often.
rule() {
    family=$1
    shift
    [ -n "$(ip "$family" rule show "$@")" ] || ip "$family" rule add "$@"
}

no_source_route() {
    for family in -4 -6; do
        while ip "$family" rule del lookup "$1" 2>/dev/null; do :; done
        ip "$family" route flush table "$1" 2>/dev/null || true
    done
}

# marked_is_local: what the rules have marked comes to sockets of this machine, whatever its address.
marked_is_local() {
    for family in -4 -6; do
        rule "$family" fwmark 0x6d70 lookup 7374
        ip "$family" route replace local default dev lo table 7374
    done
}

# divert DEVICE [FILE]: plain TCP that comes in there goes to the transparent listeners on loopback, port 9002, by the rules of FILE
# (conf/nft/transparent.nft).
divert() {
    marked_is_local
    nft -D lan="{ $1 }" -D port=9002 -f "${2-$rules/transparent.nft}"
}

no_divert() {
    nft delete table inet mpconvert_transparent 2>/dev/null || true
    no_source_route 7374
}

# main setup|run|start|stop: calls up or down of the script.
main() {
    case ${1-} in
    setup | start) up ;;
    stop) down ;;
    run) ;;
    *)
        echo "usage: $0 setup|run|start|stop" >&2
        exit 2
        ;;
    esac
    case $1 in
    run | start) exec "${DAEMON:-mpconvertd}" -c "${CONFIG:-$here/${config:?}}" ;;
    esac
}
