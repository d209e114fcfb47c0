#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build and install into a directory that every user of the machine can read, since a checkout often lies in a home of
# mode 0700, and the tests also run as another user. Prints that directory as its last line:
#   build/ (meson)   prefix/ (bin/nsbox, lib, libexec, include)   tests/ examples/ (copies)
# usage: build.sh [NAME [MESON OPTION...]]     NAME: one directory for each way of building, default "plain"
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
name=${1:-plain}
[ $# -eq 0 ] || shift
# A test build has the gateway that tests/escape/planted.py attacks through a hole, beside the real one.
set -- -Dplanted=true "$@"

stage=${NSBOX_STAGE:-/var/tmp/nsbox-stage-$(id -u)-$(printf %s "$root" | cksum | cut -d' ' -f1)}/$name
# /var/tmp is open to all, and the name can be guessed: another user's directory or link there is refused.
for dir in "${stage%/*}" "$stage"; do
	if ! mkdir -m 0755 "$dir" 2>/dev/null; then
		if [ -L "$dir" ] || [ ! -d "$dir" ] || [ "$(stat -c %u "$dir")" -ne "$(id -u)" ]; then
			echo "build: $dir is in the way: it is not a directory of this user" >&2
			exit 1
		fi
	fi
done
umask 022

log=$stage/build.log
# Other options than last time: start over, so that the result never depends on what was built before.
if [ "$(cat "$stage/options" 2>/dev/null || true)" != "$*" ]; then
	rm -rf "${stage:?}/build" "${stage:?}/prefix"
	printf '%s\n' "$*" >"$stage/options"
fi
if ! {
	if [ ! -f "$stage/build/build.ninja" ]; then
		meson setup "$stage/build" "$root" --prefix "$stage/prefix" --libdir lib "$@"
	fi && meson compile -C "$stage/build" && meson install -C "$stage/build" --quiet --no-rebuild
} >"$log" 2>&1 </dev/null; then
	tail -n 60 "$log" >&2
	echo "build: failed; all of it is in $log" >&2
	exit 1
fi
for dir in tests examples; do
	rm -rf "${stage:?}/$dir"
	cp -R "$root/$dir" "$stage/$dir"
done
chmod -R u+rwX,go+rX,go-w "$stage/tests" "$stage/examples" "$stage/prefix"
echo "$stage"
