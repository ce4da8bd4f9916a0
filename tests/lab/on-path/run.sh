#!/bin/sh
# SPDX-License-Identifier: MIT
# A concentrator that nobody names: it is on the path, and CPEs ask for it in their SYNs.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
