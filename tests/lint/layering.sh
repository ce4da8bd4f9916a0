#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# layering.sh SOURCE_DIR: dependencies point down only. wire: libc and wire. base: also jansson and pthread. client: not server. A header
# that says "no uv.h" must not reach it, and neither may its .c, whatever they include.
set -u
# shellcheck source=tests/lint/sources.bash
. "$(dirname "$0")/sources.bash"
src=${1:?source directory}
cd "$src" || exit 1
bad=0
complain() {
    echo "$1"
    bad=1
}

# includes FILE: "line:name" of quoted ones with a leading ", of others with a leading <.
includes() {
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\([<"]\)\([^>"]*\)[>"].*/\1\2/p' "$1"
}

wire_libc='^(arpa/inet|ctype|endian|errno|inttypes|limits|netinet/.*|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|strings|sys/socket|sys/types)\.h$'
lower_forbidden='^(uv|ares|ares_.*|microhttpd|crypt|openssl/.*)\.h$'

for f in $(sources . 'common/*.c' 'common/*.h'); do
    for i in $(includes "$f"); do
        name=${i#?}
        case "$f:$i" in
        common/wire/*:\"wire/*) ;;
        common/wire/*:\"*) complain "$f includes \"$name\": wire includes wire only" ;;
        common/wire/*) [[ $name =~ $wire_libc ]] || complain "$f includes <$name>: wire is libc only, without I/O and threads" ;;
        *:\"wire/* | *:\"base/*) ;;
        common/base/*:\"*) complain "$f includes \"$name\": base includes wire and base only" ;;
        *) ! [[ $name =~ $lower_forbidden ]] || complain "$f includes <$name>: base has libc, jansson and pthread only" ;;
        esac
    done
done

for f in $(sources . 'client/*.c' 'client/*.h'); do
    for i in $(includes "$f"); do
        name=${i#?}
        case "$i" in
        \"server/* | \"../server/*) complain "$f includes \"$name\": client does not know server" ;;
        \"*/*) ;;
        \"*) [ -e "client/$name" ] || complain "$f includes \"$name\", which is not in client/" ;;
        *) ! [[ $name =~ $lower_forbidden ]] || complain "$f includes <$name>: the client is a guest" ;;
        esac
    done
done

# Where a quoted include leads, seen from FILE.
resolve() {
    local file=$1 name=$2 dir
    for dir in "$(dirname "$file")" common server client; do
        if [ -e "$dir/$name" ]; then
            echo "$dir/$name"
            return
        fi
    done
}

# reaches_uv FILE: prints the chain of includes that ends in uv.h.
reaches_uv() {
    local -A chain=(["$1"]=$1)
    local queue=("$1") f i to
    while [ ${#queue[@]} -gt 0 ]; do
        f=${queue[0]}
        queue=("${queue[@]:1}")
        for i in $(includes "$f"); do
            if [[ $i =~ ^[\<\"]uv(/.*)?\.h$ ]]; then
                echo "${chain[$f]} -> uv.h"
                return
            fi
            [[ $i == \"* ]] || continue
            to=$(resolve "$f" "${i#?}")
            [ -n "$to" ] && [ -z "${chain[$to]:-}" ] || continue
            chain[$to]="${chain[$f]} -> $to"
            queue+=("$to")
        done
    done
}

for h in $(sources . 'server/*.h' 'common/*.h'); do
    grep -qi 'no uv\.h' "$h" || continue
    for f in "$h" "${h%.h}.c"; do
        [ -e "$f" ] || continue
        chain=$(reaches_uv "$f")
        [ -z "$chain" ] || complain "$h says no uv.h, but $chain"
    done
done
exit $bad
