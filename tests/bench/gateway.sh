#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Measure the gateway beside direct connections, haproxy, squid (ssl-bump) and mitmproxy, and print the tables. A peer that
# is not installed is left out with a word (Debian: haproxy squid-openssl mitmproxy). Nothing here passes or fails, except
# a soak whose memory grows.
# usage: gateway.sh [--quick] [--prefix DIR] [--rounds N] [--soak N]
#   --quick   few rounds, to see that it works        --prefix DIR   an installed nsbox; default: build one
#   --soak N  no tables: N requests through one gateway, and its memory as they pass
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec sh "$here/run.sh" --only gateway "$@"
