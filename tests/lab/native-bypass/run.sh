#!/bin/sh
# SPDX-License-Identifier: MIT
# A host with Multipath TCP of its own behind a CPE that converts: it must pass as it is.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
