#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# format.sh SOURCE_DIR: C code is as clang-format 14 writes it.
set -u
# shellcheck source=tests/lint/sources.bash
. "$(dirname "$0")/sources.bash"
src=${1:?source directory}
command -v clang-format-14 >/dev/null || exit 77
cd "$src" || exit 1
mapfile -t files < <(sources . 'common/*.c' 'server/*.c' 'client/*.c' 'tests/*.c' 'tests/*.h')
[ ${#files[@]} -eq 0 ] || clang-format-14 --dry-run -Werror "${files[@]}"
