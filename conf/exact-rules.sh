#!/bin/sh
# SPDX-License-Identifier: MIT
# The firewall rules of exact listeners, for IPv4 and IPv6:
#     exact-rules.sh [--iptables | --nft] add [--port PORT[,PORT...]] [--transparent] [--mark MARK] --queues FIRST[:LAST]
#     exact-rules.sh [--iptables | --nft] remove | show
# `add` sets what the rules are, whatever they were; `remove` takes all of them away. Both may be repeated. As many queues as the
# daemon has workers, from exact.queue on: mpconvertd --doctor says which, and whether the rules do what they should. Without a
# choice nft is taken where the kernel has its `queue`, else iptables, and `remove` looks in both. MPCONVERT_IPTABLES names another
# flavour: iptables-legacy.
# Transparent exact listeners have no port of their own but a mark, exact.mark (MARK, as a hexadecimal number, when it is not the
# default): --transparent where there is no other.
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
chain=MPCONVERT_EXACT
table=mpconvert_exact

usage() {
    sed -n 's/^#     //p' "$0" >&2
    exit 2
}

fail() {
    echo "exact-rules.sh: $*" >&2
    exit 1
}

is_number() { # TEXT LEAST MOST
    case $1 in
    '' | *[!0-9]* | ??????*) return 1 ;;
    esac
    [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
}

# Tried in a table of its own, which is gone again afterwards.
nft_can_queue() {
    command -v nft >/dev/null || return 1
    nft -c -f - 2>/dev/null <<EOT
table inet mpconvert_try {
    chain output {
        type filter hook output priority raw; policy accept;
        queue flags bypass to 0
    }
}
EOT
}

nft_add() {
    nft -D "ports={ ${ports:-0} }" -D "mark=$mark" -D "queues=$first-$last" -f "$here/nft/exact.nft"
}

nft_remove() {
    ! nft list table inet "$table" >/dev/null 2>&1 || nft delete table inet "$table"
}

nft_show() {
    nft list table inet "$table" 2>/dev/null || echo "no rules"
}

iptables=${MPCONVERT_IPTABLES:-iptables}

families() {
    # A kernel without IPv6 has no table to put a rule into.
    if [ -e /proc/net/if_inet6 ]; then
        echo "$iptables" "ip6${iptables#ip}"
    else
        echo "$iptables"
    fi
}

iptables_add() {
    queues="--queue-num $first"
    [ "$first" = "$last" ] || queues="--queue-balance $first:$last"
    for program in $(families); do
        while IFS= read -r line; do
            case $line in
            *@PORT@*)
                for port in $(echo "$ports" | tr , ' '); do
                    echo "$line" | sed "s/@PORT@/$port/; s/@QUEUES@/$queues/"
                done
                ;;
            *) echo "$line" | sed "s|@MARK@|$mark|; s/@QUEUES@/$queues/" ;;
            esac
        done <"$here/iptables/exact.rules" | "$program"-restore --noflush
        "$program" -t raw -C OUTPUT -p tcp -j "$chain" 2>/dev/null || "$program" -t raw -A OUTPUT -p tcp -j "$chain"
    done
}

iptables_remove() {
    for program in $(families); do
        while "$program" -t raw -C OUTPUT -p tcp -j "$chain" 2>/dev/null; do
            "$program" -t raw -D OUTPUT -p tcp -j "$chain"
        done
        ! "$program" -t raw -S "$chain" >/dev/null 2>&1 || { "$program" -t raw -F "$chain" && "$program" -t raw -X "$chain"; }
    done
}

iptables_show() {
    for program in $(families); do
        "$program" -t raw -S "$chain" 2>/dev/null | sed -n "s/^-A/$program -t raw -A/p"
    done | grep . || echo "no rules"
}

with='' action='' ports='' transparent='' mark=0x6d710000 first='' last=''
while [ $# -gt 0 ]; do
    case $1 in
    --iptables | --nft) with=${1#--} ;;
    --port)
        [ $# -ge 2 ] || usage
        ports=${ports:+$ports,}$2
        shift
        ;;
    --transparent) transparent=yes ;;
    --mark)
        [ $# -ge 2 ] || usage
        mark=$2 transparent=yes
        shift
        ;;
    --queues)
        [ $# -ge 2 ] || usage
        first=${2%%:*} last=${2##*:}
        shift
        ;;
    add | remove | show)
        [ -z "$action" ] || usage
        action=$1
        ;;
    *) usage ;;
    esac
    shift
done

case $action in
add)
    { [ -n "$ports$transparent" ] && [ -n "$first" ]; } || usage
    case $mark in 0x*[!0-9a-fA-F]* | 0x??????????* | 0x) fail "not a mark: $mark" ;; 0x*00) ;; *) fail "not a mark: $mark" ;; esac
    [ -z "$ports" ] || case ,$ports, in *,,*) usage ;; esac
    for port in $(echo "$ports" | tr , ' '); do
        is_number "$port" 1 65535 || fail "not a port: $port"
    done
    { is_number "$first" 0 65535 && is_number "$last" "$first" 65535; } || fail "not queues: $first:$last"
    ;;
remove | show) { [ -z "$ports$transparent" ] && [ -z "$first" ]; } || usage ;;
*) usage ;;
esac
if [ -z "$with" ] && [ "$action" = remove ]; then
    ! command -v nft >/dev/null || nft_remove
    ! command -v "$iptables" >/dev/null || iptables_remove
    exit
fi
if [ -z "$with" ]; then
    if nft_can_queue; then with=nft; else with=iptables; fi
fi
"${with}_$action"
