#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The quickstart: install build dependencies when missing, build, and let an agent-like script loose in a sandbox.
# Everything stays on this machine: local servers stand in for the API provider, for a stranger, and for a git server.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)

sh "$root/tests/setup.sh"
echo "Building nsbox (a minute the first time) ..."
stage=$(sh "$root/tests/build.sh" | tail -n 1)
[ -n "$stage" ] || exit 1
set -- /usr/bin/python3 "$stage/examples/quickstart/host.py" --prefix "$stage/prefix" "$@"

# An ordinary user is all it needs, so that is what shows it.
if [ "$(id -u)" -eq 0 ]; then
	user=nsbox-test
	id "$user" >/dev/null 2>&1 || useradd --system --create-home --shell /bin/sh "$user"
	exec setpriv --reuid "$user" --regid "$(id -gn "$user")" --init-groups \
		env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 USER="$user" \
		HOME="$(getent passwd "$user" | cut -d: -f6)" PYTHONDONTWRITEBYTECODE=1 "$@"
fi
PYTHONDONTWRITEBYTECODE=1 exec "$@"
