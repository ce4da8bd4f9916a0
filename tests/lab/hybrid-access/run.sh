#!/bin/sh
# SPDX-License-Identifier: MIT
# The demo: a host's download over one access line, over two, and over two of which one is cut and comes back.
#   run.sh [--quick] [--out FOLDER]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
