#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# examples.sh SOURCE_DIR BUILD_DIR: the daemon of BUILD_DIR takes every configuration of conf/examples and every block of
# docs/deployment.md that is marked as json; the launcher takes those named client.json or marked as "json client". Every example has a
# README.md and a script, and the page mentions each.
set -u
src=$(realpath "${1:?source directory}")
build=${2-}
daemon=$build/server/mpconvertd
launcher=$build/client/mpconvert
if [ ! -x "$daemon" ] || [ ! -x "$launcher" ]; then
    echo "nothing is built in ${build:-no folder}"
    exit 77
fi
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
bad=0
complain() {
    echo "$1"
    bad=1
}

# judge KIND FILE NAME
judge() {
    local said
    if [ "$1" = client ]; then
        said=$("$launcher" run --config "$2" --preload true 2>&1)
    else
        said=$("$daemon" --check -c "$2" 2>&1)
    fi || complain "$3: $said"
}

page=$src/docs/deployment.md
for example in "$src"/conf/examples/*/; do
    name=$(basename "$example")
    [ -e "$example/README.md" ] || complain "conf/examples/$name has no README.md"
    compgen -G "$example*.sh" >/dev/null || complain "conf/examples/$name has no script"
    [ ! -e "$page" ] || grep -q "conf/examples/$name" "$page" || complain "docs/deployment.md does not mention conf/examples/$name"
    for file in "$example"*.json; do
        [ -e "$file" ] || continue
        kind=daemon
        [ "$(basename "$file")" != client.json ] || kind=client
        judge $kind "$file" "conf/examples/$name/$(basename "$file")"
    done
done

[ ! -e "$page" ] || awk -v folder="$folder" '
    /^```json/ { file = sprintf("%s/%d.%s", folder, NR, /client/ ? "client" : "daemon"); next }
    /^```/ { file = ""; next }
    file != "" { print >file }' "$page"
for file in "$folder"/*; do
    [ -e "$file" ] || continue
    line=$(basename "${file%.*}")
    judge "${file##*.}" "$file" "docs/deployment.md:$line"
done
exit $bad
