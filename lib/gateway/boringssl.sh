#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build a static BoringSSL from Debian's source package, for the meson option "boringssl": sh boringssl.sh PREFIX
#
# The packaged library is built for size (-DOPENSSL_SMALL leaves the fast P-256 out) and shared, which costs start-up
# time. The same source, built plainly, signs four times faster. Needs gcc, g++, make, dpkg-dev and a source (deb-src)
# line for apt; as root a missing one is added. Takes a minute on two cores.
set -eu
umask 022

[ $# -eq 1 ] || { echo "usage: boringssl.sh PREFIX" >&2; exit 2; }
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
package=android-platform-external-boringssl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

if ! apt-cache showsrc $package >/dev/null 2>&1 || [ -z "$(apt-cache showsrc $package 2>/dev/null)" ]; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "boringssl.sh: apt has no source of $package; add a deb-src line for Debian's main component, or run as root" >&2
		exit 1
	fi
	. /etc/os-release
	# The archive that this machine takes its packages from.
	archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" | head -n 1)
	[ -n "$archive" ] || { echo "boringssl.sh: apt knows no archive of $VERSION_CODENAME" >&2; exit 1; }
	cat >/etc/apt/sources.list.d/nsbox-boringssl-src.sources <<END
Types: deb-src
URIs: $archive
Suites: $VERSION_CODENAME
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
	apt-get update -qq
fi
# apt checks the signed digests; unpacked by dpkg-source so that Debian's patches are in.
apt-get source -qq --download-only $package
dpkg-source --no-check -x ./*.dsc source >/dev/null
cd source

case $(uname -m) in
x86_64) assembler=linux_x86_64_sources ;;
aarch64) assembler=linux_aarch64_sources ;;
*) echo "boringssl.sh: no assembler sources for $(uname -m)" >&2; exit 1 ;;
esac

# err_data.c and the .S files are shipped: neither cmake nor Go nor perl is needed, and without exceptions and run-time
# types no libstdc++ either.
cat >static.mk <<END
include debian/sources.mk
FLAGS = -O2 -fPIC -DNDEBUG -DBORINGSSL_IMPLEMENTATION -D_XOPEN_SOURCE=700 -Isrc/include -fvisibility=hidden \\
  -ffunction-sections -fdata-sections -fno-strict-aliasing -fstack-protector-strong -w
CRYPTO = \$(patsubst %,o/%.o,\$(crypto_sources) \$($assembler))
SSL = \$(patsubst %,o/%.o,\$(ssl_sources))
all: libcrypto.a libssl.a
libcrypto.a: \$(CRYPTO)
libssl.a: \$(SSL)
%.a:
	rm -f \$@; ar rcs \$@ \$^
o/%.c.o: %.c
	@mkdir -p \$(@D); gcc -std=gnu11 \$(FLAGS) -c \$< -o \$@
o/%.S.o: %.S
	@mkdir -p \$(@D); gcc \$(FLAGS) -c \$< -o \$@
o/%.cc.o: %.cc
	@mkdir -p \$(@D); g++ -std=gnu++17 -fno-exceptions -fno-rtti \$(FLAGS) -c \$< -o \$@
END
make -s -j"$(nproc)" -f static.mk
mkdir -p "$prefix/lib" "$prefix/include"
cp libcrypto.a libssl.a "$prefix/lib/"
rm -rf "$prefix/include/openssl"
cp -R src/include/openssl "$prefix/include/"
