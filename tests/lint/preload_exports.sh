#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# preload_exports.sh SOURCE_DIR BUILD_DIR: what the preload libraries bring into other people's programs. They export exactly what their
# map names, need nothing that glibc and musl do not both have, no library but libc, no executable stack, and are small when stripped.
set -u
src=${1:?source directory}
build=${2:?build directory}
size_max=$((100 * 1024))
bad=0
complain() {
    echo "$1"
    bad=1
}

cached() {
    sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

[ -e "$build/CMakeCache.txt" ] || { echo "$build is no build directory" && exit 77; }
case "$(cached SANITIZE)$(cached CMAKE_C_FLAGS)" in
*address* | *thread* | *undefined* | *memory* | *on* | *ON*) echo "a sanitizer's runtime brings symbols of its own" && exit 77 ;;
esac

# The size that counts is the one that is installed.
if [ "$(cached CMAKE_BUILD_TYPE)" != Release ]; then
    folder=$(mktemp -d) || exit 1
    trap 'rm -rf "$folder"' EXIT
    {
        cmake -S "$src" -B "$folder" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_C_COMPILER=$(cached CMAKE_C_COMPILER)" &&
            cmake --build "$folder" --target mpconvert_preload mpconvert_dns
    } >"$folder/said" 2>&1 || {
        tail -20 "$folder/said"
        exit 1
    }
    build=$folder
fi

# wanted MAP: the names between "global:" and "local:"
wanted() {
    sed -n '/global:/,/local:/s/^[[:space:]]*\([A-Za-z0-9_]*\);.*/\1/p' "$1" | sort
}

# dynamic WHICH FILE: names in the dynamic symbol table, without versions
dynamic() {
    nm -D "--$1-only" "$2" | awk '{ print $NF }' | sed 's/@.*//' | sort -u
}

check() {
    local library=$build/client/$1 map=$src/client/$2 size libc missing
    [ -e "$library" ] || { complain "$library was not built" && return; }
    diff <(wanted "$map") <(dynamic defined "$library") >/dev/null ||
        complain "$1 exports something else than $2: $(diff <(wanted "$map") <(dynamic defined "$library") | grep '^[<>]' | tr '\n' ' ')"
    for libc in "$(cc -print-file-name=libc.so.6)" /lib/ld-musl-*.so.1; do
        [ -e "$libc" ] || continue
        missing=$(comm -23 <(dynamic undefined "$library") <(dynamic defined "$libc"))
        # What a linker adds for tools that may not be there is weak, and may be missing.
        missing=$(comm -23 <(echo "$missing") <(nm -D "$library" | awk '$1 == "w" { print $2 }' | sort))
        [ -z "$missing" ] || complain "$1 needs what $libc does not have: $(echo "$missing" | tr '\n' ' ')"
    done
    readelf -dW "$library" | grep -E '\(NEEDED\)' | grep -vE '\[libc\.(so\.6|musl-[a-z0-9_]+\.so\.1)\]' |
        while read -r line; do echo "$1: $line"; done | grep . && bad=1
    readelf -dW "$library" | grep -qE '\((TEXTREL|RPATH|RUNPATH)\)' && complain "$1 has text relocations or a path"
    readelf -lW "$library" | grep -E 'GNU_STACK' | grep -q 'E ' && complain "$1 wants an executable stack"
    readelf -lW "$library" | grep -q '^  TLS' && complain "$1 has thread-local variables"
    strip -o "$library.stripped" "$library" || bad=1
    size=$(stat -c %s "$library.stripped")
    rm -f "$library.stripped"
    [ "$size" -lt "$size_max" ] || complain "$1 has $size octets stripped, $size_max or more"
    echo "$1: $size octets stripped, $(dynamic defined "$library" | wc -l) names, $(dynamic undefined "$library" | wc -l) of libc"
}

check libmpconvert_preload.so exports.map
check libmpconvert_dns.so exports_dns.map
exit $bad
