#!/bin/sh
# SPDX-License-Identifier: MIT
# Hybrid access with a second line that is a spare: idle, until the first one is lost.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
