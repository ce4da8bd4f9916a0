#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cross.sh SOURCE_DIR: everything but the tests compiles for aarch64 without a warning, and what its preload libraries need is in libc:
# they are linked with none, so that a helper the compiler calls for would be missed only when they are loaded. The headers and libc
# are those of libc6-dev-arm64-cross; Debian's cross gcc does not go with gcc-multilib.
set -u
src=$(realpath "${1:?source directory}")
root=/usr/aarch64-linux-gnu
for tool in clang ld.lld nm; do
    command -v "$tool" >/dev/null || { echo "there is no $tool" && exit 77; }
done
[ -e $root/include/stdio.h ] || { echo "there is no libc6-dev-arm64-cross" && exit 77; }

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
# The other libraries' headers are this machine's: nothing is linked with them. Calls of helpers for atomics are gcc's default.
{
    cmake -S "$src" -B "$folder" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMPCONVERT_TESTS=OFF -DMPCONVERT_WERROR=ON \
        -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY \
        -DCMAKE_C_COMPILER=clang -DCMAKE_C_COMPILER_TARGET=aarch64-linux-gnu \
        -DCMAKE_C_FLAGS="-isystem $root/include -idirafter /usr/include/$(cc -print-multiarch) -moutline-atomics" -DCMAKE_SHARED_LINKER_FLAGS="-fuse-ld=lld -L$root/lib" &&
        cmake --build "$folder" -j 2 --target daemon launcher mpconvert_preload mpconvert_dns
} >"$folder/said" 2>&1 || {
    grep -E 'error|warning' "$folder/said" || tail -20 "$folder/said"
    exit 1
}

bad=0
for library in "$folder"/client/*.so; do
    missing=$(comm -23 <(nm -D "$library" | sed -n 's/^ *U \([^@]*\).*/\1/p' | sort -u) \
        <(nm -D --defined-only $root/lib/libc.so.6 | awk '{ print $NF }' | sed 's/@.*//' | sort -u))
    [ -z "$missing" ] || {
        echo "${library##*/} needs what libc does not have: $(echo "$missing" | tr '\n' ' ')"
        bad=1
    }
done
exit $bad
