#!/bin/sh
# SPDX-License-Identifier: MIT
# Concentrators by priority and by class of service; one after the other dies.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
