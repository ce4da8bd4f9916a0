#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spdx.sh SOURCE_DIR: every source file says its licence in one of its first three lines.
set -u
# shellcheck source=tests/lint/sources.bash
. "$(dirname "$0")/sources.bash"
src=${1:?source directory}
bad=0
while IFS= read -r f; do
    [ -s "$src/$f" ] || continue
    if ! head -n 3 "$src/$f" | grep -q 'SPDX-License-Identifier: MIT'; then
        echo "$f: no SPDX line"
        bad=1
    fi
done < <(sources "$src" '*.c' '*.h' '*.py' '*.sh' '*.bash' '*.cmake' '*CMakeLists.txt' '*.map' '*.hex' '*.service' '*.nft' '.ci/*')
exit $bad
