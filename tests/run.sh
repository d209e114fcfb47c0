#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what is needed, build, and run the tests. As root every layer runs twice: as root, and as the unprivileged
# user nsbox-test (made when missing). Otherwise once, as the user who calls. Some layers run at the same time, since
# most of what they do is to wait; each is shown as a whole when it has ended.
#
# usage: sh tests/run.sh [--build DIR] [--once] [--results FILE] [LAYER...]
# LAYER: headers unit integration kill escape quadrants interop example
# --build DIR: use this finished stage directory (of tests/build.sh) instead of building. --once: not as root too.
# --results FILE: write the result lines there too.
# Environment: NSBOX_TEST_SLOWNESS (factor for the time limits), NSBOX_TEST_JOBS (tests at once in a layer),
# NSBOX_SANITIZED (object file with the options of the sanitizers, when the build has them; see tests/sanitize.c).
# The last line is `N passed, N failed, N skipped`, the sum over all layers and users; exit 0 only when none failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
user=nsbox-test
# The layers slow each other down.
slowness=${NSBOX_TEST_SLOWNESS:-2}
jobs=${NSBOX_TEST_JOBS:-2}
at_once=4
python=/usr/bin/python3
stage=
once=
results=
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
	--results)
		[ $# -ge 2 ] || usage "$1"
		results=$2
		shift
		;;
	headers | unit | integration | kill | escape | quadrants | interop | example) layers="$layers $1" ;;
	*) usage "$1" ;;
	esac
	shift
done
# The longest first, so that none of them is alone at the end.
layers=${layers:-integration escape unit quadrants interop kill headers example}

sh "$here/setup.sh" || exit 1
if [ -z "$stage" ]; then
	echo "building (the log is in build.log of the stage directory)"
	stage=$(sh "$here/build.sh" | tail -n 1) || exit 1
	[ -n "$stage" ] || exit 1
fi
echo "build: $stage"

work=$(mktemp -d) || exit 1
running=
trap 'rm -rf "$work"' EXIT
trap 'kill $running; wait; exit 130' HUP INT TERM

if [ "$(id -u)" -eq 0 ]; then
	if ! id "$user" >/dev/null 2>&1; then
		# Another run may be faster.
		useradd --system --create-home --shell /bin/sh "$user" || id "$user" >/dev/null || exit 1
	fi
	users="${once:+$user}"
	users=${users:-root $user}
else
	users=$(id -un)
	echo "not root: everything runs as $users only (as root it would also run as root)"
fi

# share USER: which part of how many this run takes of what is a sample anyway, where two users share it.
share() {
	case "$users" in
	*" $1") echo 1/2 ;;
	"$1 "*) echo 0/2 ;;
	*) echo 0/1 ;;
	esac
}

# as USER COMMAND...: with a small, known environment, in a session of its own, never for longer than half an hour.
# Takes the place of the shell.
as() {
	who=$1
	shift
	set -- env -i "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin" LANG=C.UTF-8 TMPDIR=/tmp \
		${NSBOX_SANITIZED+"NSBOX_SANITIZED=$NSBOX_SANITIZED"} \
		"NSBOX_TEST_SHARE=$(share "$who")" "HOME=$(getent passwd "$who" | cut -d: -f6)" "USER=$who" "LOGNAME=$who" PYTHONDONTWRITEBYTECODE=1 "$@"
	if [ "$(id -u)" -eq 0 ] && [ "$who" != root ]; then
		set -- setpriv --reuid "$who" --regid "$(id -gn "$who")" --init-groups "$@"
	fi
	exec timeout --kill-after=20 1800 "$@" </dev/null 8>&-
}

# Who begins a layer takes a line out of here, and puts one back at its end.
mkfifo "$work/turns" || exit 1
exec 8<>"$work/turns"
for turn in $(seq "$at_once"); do
	echo "$turn" >&8
done

# layer NAME USER COMMAND...: begin it as soon as it may.
layers_begun=0
layer() {
	layers_begun=$((layers_begun + 1))
	read -r turn <&8
	{
		run_layer "$work/$layers_begun" "$@"
		echo "$turn" >&8
	} &
	running="$running $!"
}

# run_layer FILE NAME USER COMMAND...: to its end; then show what it printed, and keep the result lines in FILE.results.
# What attackers got is printed too, so it need not be text (-a).
# A crash of the layer is a failure, and so is one that nothing in its lines explains.
run_layer() {
	file=$1
	name=$2
	who=$3
	shift 3
	begin=$(date +%s)
	as "$who" "$@" >"$file" 2>&1 &
	pid=$!
	trap 'kill "$pid"' TERM
	wait "$pid"
	status=$?
	grep -aE '^(ok|not ok|skip|# first time:) ' "$file" >"$file.results"
	if [ "$status" -gt 1 ] || [ ! -s "$file.results" ] ||
		{ [ "$status" -eq 1 ] && ! grep -aq '^not ok ' "$file.results"; }; then
		echo "not ok $name, as $who: the whole layer ended with status $status" | tee -a "$file" >>"$file.results"
	fi
	{
		echo
		echo "== $name, as $who${NSBOX_SANITIZED+, with sanitizers} ($(($(date +%s) - begin)) s)"
		cat "$file"
	} >"$file.shown"
	# One after the other, whichever run of this script they belong to.
	flock "$here/run.sh" cat "$file.shown"
}

for layer in $layers; do
	for who in $users; do
		case $layer in
		headers) layer headers "$who" sh "$stage/tests/headers.sh" "$stage/prefix" ;;
		unit) layer unit "$who" "$python" "$stage/tests/unit/run.py" --slowness "$slowness" \
			-j "$jobs" "$stage/build" ;;
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

wait
cat "$work"/*.results >"$work/all"
[ -z "$results" ] || cat "$work/all" >"$results"
passed=$(grep -ac '^ok ' "$work/all")
failed=$(grep -ac '^not ok ' "$work/all")
skipped=$(grep -ac '^skip ' "$work/all")
echo
# Not hidden, though it was good the second time (or failed again).
sed -n 's/^# first time: /failed the first time, beside others: /p' "$work/all" | cut -c1-300
if [ "$failed" -gt 0 ]; then
	echo "failed:"
	grep -a '^not ok ' "$work/all" | cut -c1-300
fi
if [ "$((passed + failed))" -eq 0 ]; then
	echo "no test has run" >&2
	failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
