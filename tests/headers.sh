#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The public headers compile alone and together as C11 and as C++11, found through pkg-config as a user would; and the
# man pages fit them (manual.py).
# usage: headers.sh PREFIX
prefix=$1
flags=$(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --cflags libsandbox) || {
	echo "not ok headers.pkg-config: libsandbox.pc is not found"
	exit 1
}
status=0
for header in "$prefix"/include/sandbox/*.h; do
	name=$(basename "$header")
	for how in "gcc -std=c11 -x c" "clang -std=c11 -x c" "clang -std=c++11 -x c++"; do
		test=headers.$name.$(echo "$how" | sed 's/ -std=/-/; s/ -x.*//')
		# shellcheck disable=SC2086  # words are wanted
		if why=$(echo "#include <sandbox/$name>" | $how $flags -Wall -Wextra -Wpedantic -Werror -fsyntax-only - 2>&1); then
			echo "ok $test"
		else
			echo "not ok $test: $(echo "$why" | head -n 1)"
			status=1
		fi
	done
done
/usr/bin/python3 "$(dirname "$0")/manual.py" "$prefix" || status=1
exit $status
