#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# names.sh SOURCE_DIR: nothing that only means something on one machine (its paths, package mirrors), no TODO without an issue: TODO(#12).
set -u
# shellcheck source=tests/lint/sources.bash
. "$(dirname "$0")/sources.bash"
src=${1:?source directory}
bad=0
paths='(^|[^A-Za-z0-9_.])/(work|root|home/[a-z]+|tmp/w)/'
hosts='(registry\.npmjs|pypi|pythonhosted|deb\.debian|security\.debian|proxy\.golang|crates|rubygems|docker|ghcr|quay)\.(org|io|com)'
todo='(^|[^A-Za-z0-9_])(TODO|FIXME|XXX)($|[^(A-Za-z_]|\([^#]|\(#[^0-9])'
while IFS= read -r f; do
    case $f in
    tests/lint/names.sh) continue ;;
    esac
    hits=$(grep -nIE "$paths|$hosts|$todo" "$src/$f")
    if [ -n "$hits" ]; then
        echo "$hits" | sed "s|^|$f:|"
        bad=1
    fi
done < <(sources "$src" '*')
exit $bad
