#!/bin/sh
# SPDX-License-Identifier: MIT
# Whom a server sees: an address of a pool over IPv4, the host's own over IPv6.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
