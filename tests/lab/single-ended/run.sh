#!/bin/sh
# SPDX-License-Identifier: MIT
# A phone: one host with two interfaces, a concentrator, and a server that has plain TCP.
#   run.sh [--quick]       see ../README.md
exec "$(dirname "$0")/../enter.sh" "$0" "$@"
