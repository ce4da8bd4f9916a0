#!/bin/sh
# SPDX-License-Identifier: MIT
# What a host's connect() is told through a CPE, without exact listeners and with them.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
