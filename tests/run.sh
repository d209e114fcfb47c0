#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what is needed, build, and run the tests. As root every layer runs twice: as root, and as the unprivileged
# user nsbox-test (made when missing). Otherwise once, as the user who calls.
#
# usage: sh tests/run.sh [--build DIR] [--once] [LAYER...]
# LAYER: headers unit integration kill escape quadrants interop example
# --build DIR: use this finished stage directory (of tests/build.sh) instead of building. --once: not as root too.
# Environment: NSBOX_TEST_SLOWNESS (factor for the time limits), NSBOX_TEST_JOBS, NSBOX_SANITIZED (object file with
# the options of the sanitizers, when the build has them; see tests/sanitize.c).
# The last line is `N passed, N failed, N skipped`, the sum over all layers and users; exit 0 only when none failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
user=nsbox-test
slowness=${NSBOX_TEST_SLOWNESS:-1}
jobs=${NSBOX_TEST_JOBS:-2}
python=/usr/bin/python3
stage=
once=
layers=

usage() {
	echo "run.sh: no layer '$1': headers, unit, integration, kill, escape, quadrants, interop, example" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--build)
		[ $# -ge 2 ] || usage "$1"
		stage=$2
		shift
		;;
	--once) once=yes ;;
	headers | unit | integration | kill | escape | quadrants | interop | example) layers="$layers $1" ;;
	*) usage "$1" ;;
	esac
	shift
done
layers=${layers:-headers unit integration kill escape quadrants interop example}

sh "$here/setup.sh" || exit 1
if [ -z "$stage" ]; then
	echo "building (the log is in build.log of the stage directory)"
	stage=$(sh "$here/build.sh" | tail -n 1) || exit 1
	[ -n "$stage" ] || exit 1
fi
echo "build: $stage"

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

if [ "$(id -u)" -eq 0 ]; then
	if ! id "$user" >/dev/null 2>&1; then
		useradd --system --create-home --shell /bin/sh "$user" || exit 1
	fi
	users="${once:+$user}"
	users=${users:-root $user}
else
	users=$(id -un)
	echo "not root: everything runs as $users only (as root it would also run as root)"
fi

# as USER COMMAND...: with a small, known environment, in a session of its own, never for longer than half an hour.
as() {
	who=$1
	shift
	set -- env -i "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin" LANG=C.UTF-8 TMPDIR=/tmp \
		${NSBOX_SANITIZED+"NSBOX_SANITIZED=$NSBOX_SANITIZED"} \
		"HOME=$(getent passwd "$who" | cut -d: -f6)" "USER=$who" "LOGNAME=$who" PYTHONDONTWRITEBYTECODE=1 "$@"
	if [ "$(id -u)" -eq 0 ] && [ "$who" != root ]; then
		set -- setpriv --reuid "$who" --regid "$(id -gn "$who")" --init-groups "$@"
	fi
	timeout --kill-after=20 1800 "$@" </dev/null
}

# layer NAME USER COMMAND...: show what it prints, keep the result lines, and count a crash of the layer as a failure.
layer() {
	name=$1
	who=$2
	shift 2
	echo
	echo "== $name, as $who"
	{
		as "$who" "$@" 2>&1
		echo "layer-status $?"
	} | while IFS= read -r line; do
		case $line in
		"layer-status 0" | "layer-status 1") ;;
		layer-status*)
			echo "not ok $name: the whole layer ended with ${line#layer-}" | tee -a "$log"
			;;
		"ok "* | "not ok "* | "skip "*)
			echo "$line"
			echo "$line" >>"$log"
			;;
		*) echo "$line" ;;
		esac
	done
}

for layer in $layers; do
	for who in $users; do
		case $layer in
		headers) layer headers "$who" sh "$stage/tests/headers.sh" "$stage/prefix" ;;
		unit) layer unit "$who" "$python" "$stage/tests/unit/run.py" --slowness "$slowness" "$stage/build" ;;
		integration)
			layer integration "$who" "$python" "$stage/tests/integration/run.py" --prefix "$stage/prefix" \
				--slowness "$slowness" -j "$jobs"
			;;
		kill) layer kill "$who" "$python" "$stage/tests/integration/kill9.py" --prefix "$stage/prefix" ;;
		escape)
			layer escape "$who" "$python" "$stage/tests/escape/run.py" --prefix "$stage/prefix"
			for isolation in light full; do
				layer "escape, in a $isolation call" "$who" "$python" "$stage/tests/escape/run.py" \
					--prefix "$stage/prefix" --isolation "$isolation"
			done
			layer "escape, between calls" "$who" "$python" "$stage/tests/escape/proof.py" --prefix "$stage/prefix"
			layer "escape, abuse of the gateway" "$who" "$python" "$stage/tests/escape/abuse.py" --prefix "$stage/prefix"
			layer "escape, out of the gateway" "$who" "$python" "$stage/tests/escape/planted.py" \
				--prefix "$stage/prefix" --build "$stage/build"
			layer "escape, ends of calls" "$who" "$python" "$stage/tests/escape/sibling_end.py" --prefix "$stage/prefix"
			;;
		quadrants)
			layer quadrants "$who" "$python" "$stage/tests/quadrants/run.py" --prefix "$stage/prefix" -j "$jobs"
			;;
		interop)
			layer interop "$who" "$python" "$stage/tests/integration/run.py" --prefix "$stage/prefix" \
				--dir "$stage/tests/interop" --slowness "$slowness" -j "$jobs"
			;;
		example)
			layer example "$who" "$python" "$stage/examples/quickstart/host.py" --prefix "$stage/prefix" --lines
			;;
		esac
	done
done

passed=$(grep -c '^ok ' "$log")
failed=$(grep -c '^not ok ' "$log")
skipped=$(grep -c '^skip ' "$log")
echo
if [ "$failed" -gt 0 ]; then
	echo "failed:"
	grep '^not ok ' "$log" | cut -c1-300
fi
if [ "$((passed + failed))" -eq 0 ]; then
	echo "no test has run" >&2
	failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
