#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Measure nsbox beside plain processes, bubblewrap and haproxy, and print the tables. Nothing here passes or fails.
# usage: run.sh [--quick] [--prefix DIR] [--only start|calls|https|overlay|stages|gateway] [--rounds N] [--soak N]
#   --quick   few rounds, to see that it works        --prefix DIR   an installed nsbox; default: build one
#   --rounds  of the calls (default 1000: about an hour for all of them), or of the gateway
#   --soak    instead of the gateway's tables (gateway.sh; only run when it is named)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
prefix='' quick='' only='' rounds='' soak=''
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=--quick ;;
	--prefix) prefix=$2; shift ;;
	--only) only=$2; shift ;;
	--rounds) rounds=$2; shift ;;
	--soak) soak=$2; shift ;;
	*) sed -n '4,7p' "$0" >&2; exit 125 ;;
	esac
	shift
done
if [ -z "$prefix" ]; then
	[ "$(id -u)" -ne 0 ] || sh "$root/tests/setup.sh" >/dev/null
	# an optimised build of its own: a debug or sanitizer build would be measured otherwise
	stage=$(sh "$root/tests/build.sh" bench -Dbuildtype=release | tail -n 1)
	prefix=$stage/prefix
fi
work=$(mktemp -d /tmp/nsbox-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT INT TERM
cc=${CC:-cc}
flags='-std=gnu17 -D_GNU_SOURCE -O2'
# shellcheck disable=SC2086
$cc $flags -o "$work/timer" "$here/timer.c"
for program in calls idle; do
	# shellcheck disable=SC2086
	$cc $flags -o "$work/$program" "$here/$program.c" -I"$prefix/include" -L"$prefix/lib" -lsandbox \
		-Wl,-rpath,"$prefix/lib"
done
# shellcheck disable=SC2086
if ! { $cc $flags -o "$work/origin" "$here/origin.c" -lssl -lcrypto &&
	$cc $flags -o "$work/load" "$here/load.c" -lssl -lcrypto; } 2>"$work/cc.log"; then
	echo "no https measurements: origin and load client need libssl-dev" >&2
	sed -n 1,3p "$work/cc.log" >&2
fi
/usr/bin/python3 "$here/bench.py" --prefix "$prefix" --work "$work" $quick ${only:+--only "$only"} \
	${rounds:+--rounds "$rounds"} ${soak:+--soak "$soak"}
