#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# names.sh SOURCE_DIR: nothing that only means something on one machine (its paths), no URL but of documentation's hosts and of this
# machine, no TODO without an issue: TODO(#12).
set -u
# shellcheck source=tests/lint/sources.bash
. "$(dirname "$0")/sources.bash"
src=${1:?source directory}
bad=0
paths='(^|[^A-Za-z0-9_.])/(work|root|home/[a-z]+|tmp/w)/'
urls='https?://[A-Za-z0-9]'
allowed='https?://([a-z0-9.-]*\.)?(example(\.(org|net|com|invalid))?|localhost|json-schema\.org|rfc-editor\.org)([/:" )`]|$)|https?://(127\.|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.)'
todo='(^|[^A-Za-z0-9_])(TODO|FIXME|XXX)($|[^(A-Za-z_]|\([^#]|\(#[^0-9])'
while IFS= read -r f; do
    case $f in
    tests/lint/names.sh) continue ;;
    esac
    hits=$(
        grep -nIE "$paths|$todo" "$src/$f"
        grep -nIE "$urls" "$src/$f" | grep -vE "$allowed"
    )
    if [ -n "$hits" ]; then
        echo "$hits" | sed "s|^|$f:|"
        bad=1
    fi
done < <(sources "$src" '*')
exit $bad
