#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what building and testing need on Debian 12 or newer. Changes nothing else, and nothing at all when every
# package is there already.
set -eu

build='meson ninja-build gcc pkg-config libseccomp-dev libcap-dev libnl-3-dev libnl-route-3-dev libinih-dev
android-libboringssl-dev libjansson-dev libc-ares-dev libnghttp2-dev nettle-dev libidn2-dev zlib1g-dev libbrotli-dev
libzstd-dev linux-libc-dev'
tests='nghttp2 libcmocka-dev clang libclang-rt-14-dev python3 curl wget git openssl ca-certificates bubblewrap brotli zstd haproxy strace
iproute2 libssl-dev procps
util-linux make cmake cargo golang-go python3-venv nodejs python3-requests gnutls-bin groff-base chromium'

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "setup: this is not Debian, so nothing was installed. Needed (Debian names):" $build $tests >&2
	exit 0
fi

missing=
for package in $build $tests; do
	state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
		as_root='sudo -n'
	elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
		as_root=sudo
	else
		echo "setup: packages are missing and this user may not install them. As root run:" >&2
		echo "  apt-get install -y --no-install-recommends$missing" >&2
		exit 1
	fi
fi

echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# The lists are fetched only when the packages are not known yet: a machine without a network, but with a filled cache,
# can still be set up.
# shellcheck disable=SC2086  # words are wanted
if ! apt-cache show $missing >/dev/null 2>&1; then
	$as_root apt-get -q update
fi
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing </dev/null || {
	# Lists may be older than the archive: fetch them and try once more.
	$as_root apt-get -q update
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing </dev/null
}
