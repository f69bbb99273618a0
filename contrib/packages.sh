# SPDX-License-Identifier: BSD-2-Clause
# packages.sh - sourced by the scripts beside it: the Debian packages that
# weir needs, and how missing ones get installed.

# A build from the repository: the tools, the four libraries, and the ones
# that switch further features on. (A tarball needs no autoconf, automake.)
build_packages="autoconf automake make gcc libc6-dev pkg-config
	libssl-dev libconfig-dev libpcre2-dev zlib1g-dev"
optional_packages="libnghttp2-dev libc-ares-dev libjansson-dev
	libseccomp-dev libbrotli-dev libzstd-dev libhiredis-dev
	libisal-dev libcrypt-dev"
# Unit tests, scenarios, lint.
test_packages="libcmocka-dev clang libclang-rt-dev python3 python3-pytest
	python3-pytest-xdist python3-pytest-rerunfailures mandoc curl openssl procps"
# Servers and clients nobody here wrote; scenarios without theirs are skipped.
real_packages="systemd nginx-light nodejs chromium python3-websockets python3-hpack
	nghttp2-client nghttp2-server dnsmasq-base testssl.sh apache2-utils whois
	logrotate"

# packages_missing PACKAGE...: print those that are not installed.
packages_missing()
{
	for package in "$@"; do
		dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null |
			grep -q 'ok installed' || printf '%s ' "$package"
	done
}

# packages_as_root COMMAND...: as root, or by sudo.
packages_as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ "${CI-}" = true ]; then
		sudo -n "$@"
	else
		sudo "$@"
	fi
}

# packages_install PACKAGE...: install what is missing, or say what to install.
packages_install()
{
	command -v dpkg-query >/dev/null 2>&1 || {
		echo "This is no Debian; what Debian calls the packages" \
			"needed: $(echo $*)" >&2
		return 0
	}
	missing=$(packages_missing "$@")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
		echo "Missing; as root: apt-get install $missing" >&2
		return 1
	fi
	echo "Installing $missing" >&2
	# A server that is installed is not to be started as well.
	policy=/usr/sbin/policy-rc.d
	[ ! -e $policy ] || policy=
	if [ -n "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' |
			packages_as_root tee $policy >/dev/null
		packages_as_root chmod 755 $policy
	fi
	status=0
	packages_as_root apt-get update -q >/dev/null </dev/null
	packages_as_root env DEBIAN_FRONTEND=noninteractive apt-get install \
		-q -y --no-install-recommends $missing >/dev/null </dev/null ||
		status=$?
	[ -z "$policy" ] || packages_as_root rm -f $policy
	return $status
}
