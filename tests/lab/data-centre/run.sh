#!/bin/sh
# SPDX-License-Identifier: MIT
# A plain client, and a server that two links reach.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
