#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cppcheck.sh SOURCE_DIR: cppcheck has nothing to say about common/, server/ and client/.
set -u
src=${1:?source directory}
command -v cppcheck >/dev/null || exit 77
cd "$src" || exit 1
dirs=()
for d in common server client; do
    compgen -G "$d/*.c" >/dev/null || compgen -G "$d/*/*.c" >/dev/null || continue
    dirs+=("$d")
done
cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j 2 \
    -D_GNU_SOURCE -D__x86_64__ -Icommon -Iserver -Iclient "${dirs[@]}"
