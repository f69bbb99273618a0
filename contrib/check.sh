#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check.sh [--quick] - install what the tests need and run all of them.
#
# Builds copies of the tree below ./build-check, so that the tree itself stays
# as it is. Goes on after a failure; the last line is the sum, and the status
# is 1 if anything failed or nothing ran. --quick: gcc, unit tests and the
# scenarios marked short.
set -u
exec </dev/null
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/contrib/packages.sh"

quick=no
case ${1-} in
"") ;;
--quick) quick=yes ;;
*)
	sed -n '3,8s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac

# What a build with no more than it needs leaves out.
four_only="--without-nghttp2 --without-cares --without-jansson
	--without-libseccomp --without-brotli --without-zstd --without-hiredis
	--without-isal --without-crypt"
jobs=$(nproc 2>/dev/null || echo 2)
work=$top/build-check
mkdir -p "$work" 2>/dev/null && [ -w "$work" ] || work=$(mktemp -d)
src=$work/src
logs=$work/logs
passed=0
failed=0
skipped=0

# add PASSED FAILED SKIPPED
add()
{
	passed=$((passed + $1))
	failed=$((failed + $2))
	skipped=$((skipped + $3))
}

# count_trs DIR: the cases of "make check", from the files it leaves.
count_trs()
{
	find "$1" -name '*.trs' -exec cat {} + | awk '
		/^:test-result: (PASS|XFAIL)/ { passed++ }
		/^:test-result: (FAIL|XPASS|ERROR)/ { failed++ }
		/^:test-result: SKIP/ { skipped++ }
		END { print passed + 0, failed + 0, skipped + 0 }'
}

# count_junit FILE: the cases of pytest.
count_junit()
{
	[ -f "$1" ] || { echo 0 0 0; return; }
	tr '<' '\n' <"$1" | grep '^testsuite ' | tr ' ' '\n' | tr -d '"' |
		awk -F= '
		{ n[$1] = $2 }
		END {
			bad = n["failures"] + n["errors"]
			print n["tests"] - bad - n["skipped"], bad, n["skipped"]
		}'
}

# count_tap FILE: the cases of a script.
count_tap()
{
	awk '/^ok .*# SKIP/ { skipped++; next } /^ok / { passed++ }
		/^not ok / { failed++ }
		END { print passed + 0, failed + 0, skipped + 0 }' "$1"
}

# step LABEL COUNT COMMAND...: run a step of at most 15 minutes with its output
# in a file. COUNT is the command that prints its cases, or "one".
step()
{
	label=$1
	count=$2
	shift 2
	log=$logs/$(echo "$label" | tr -cs 'a-z0-9\n' '-').log
	began=$(date +%s)
	status=0
	timeout -k 20 900 "$@" >"$log" 2>&1 || status=$?
	took=$(($(date +%s) - began))
	case $count in
	one) cases="0 0 0" ;;
	count_tap) cases=$(count_tap "$log") ;;
	*) cases=$($count) ;;
	esac
	set -- $cases
	# Whatever no case accounts for is a case by itself.
	if [ $status -ne 0 ] && [ "$2" = 0 ]; then
		set -- "$1" 1 "$3"
	elif [ "$1 $2 $3" = "0 0 0" ]; then
		[ "$count" = one ] && set -- 1 0 0 || set -- 0 0 1
	fi
	add "$1" "$2" "$3"
	verdict=ok
	[ "$2" = 0 ] || verdict=FAILED
	printf '%-34s %-6s %4d passed %3d failed %3d skipped %4d s\n' \
		"$label" $verdict "$1" "$2" "$3" $took
	grep -h '^RERUN' "$log" | sort -u | sed 's/^/  | /'
	[ "$2" = 0 ] && return 0
	grep -hE -A4 '(error|warning): |^not ok|^FAILED|^ERROR|\*\*\* ' \
		"$log" | head -n 40 | sed 's/^/  | /'
	tail -n 8 "$log" | sed 's/^/  > /'
	return 1
}

# build NAME ARGUMENT...: configure and make in a folder of its own.
build()
{
	name=$1
	shift
	mkdir -p "$work/$name"
	step "$name: build" one sh -ec '
		cd "$1"; src=$2; jobs=$3; shift 3
		"$src/configure" --disable-scenarios "$@"
		make -j"$jobs"' sh "$work/$name" "$src" "$jobs" "$@"
}

# units NAME: unit tests, corpora, lint.
units()
{
	step "$1: unit tests" "count_trs $work/$1" \
		make -C "$work/$1" -k -j"$jobs" check VERBOSE=1
}

# scenarios NAME LABEL MARK: one that fails is tried once more, and is named.
scenarios()
{
	rm -f "$work/$1/scenario.xml"
	again=
	/usr/bin/python3 -c 'import pytest_rerunfailures' 2>/dev/null &&
		again="--reruns 1 -rR"
	step "$1: scenarios${2:+, $2}" "count_junit $work/$1/scenario.xml" \
		make -C "$work/$1" check-scenario PYTEST_ARGS="-q --tb=short $again ${3:+-m '$3'}"
}

# copy_tree: what is in the tree, without what was built there, into $src.
copy_tree()
{
	mkdir -p "$src"
	cd "$top" || return 1
	if git ls-files >/dev/null 2>&1; then
		git ls-files -co --exclude-standard |
			while read -r file; do
				[ -e "$file" ] && echo "$file"
			done >"$work/files"
	else
		find . -name build-check -prune -o \( -type f -o -type l \) \
			! -name '*.o' ! -name '*.a' ! -path '*/.deps/*' \
			! -path ./config.status ! -path ./config.h \
			! -path ./Makefile -print >"$work/files"
	fi
	tar -cf - -T "$work/files" | tar -xf - -C "$src"
}

rm -rf "${work:?}"/*
mkdir -p "$logs"
packages_install $build_packages $optional_packages $test_packages ||
	echo "going on with what is there"
[ $quick = yes ] || packages_install $real_packages ||
	echo "going on without; their scenarios are skipped"
copy_tree
step "autoreconf" one sh -c 'cd "$1" && autoreconf -i' sh "$src"

if build gcc CC=gcc --enable-werror --enable-modules=all; then
	units gcc
	if [ $quick = yes ]; then
		scenarios gcc short short
	else
		scenarios gcc "" ""
		export WEIR_TEST_EVENT_LOOP=poll
		scenarios gcc poll "process or forwarding"
		unset WEIR_TEST_EVENT_LOOP
	fi
fi
if [ $quick = no ]; then
	build clang CC=clang --enable-werror --enable-modules=all && units clang
	# Sanitizers make gcc warn of what is not so: no -Werror.
	build sanitizers --enable-modules=all --enable-sanitizers \
		CFLAGS="-O1 -g" && {
		units sanitizers
		scenarios sanitizers short short
	}
	# Also with the module from outside the tree.
	build four-only --enable-werror $four_only \
		--with-module="$src/contrib/example-module" && {
		units four-only
		scenarios four-only short short
	}
	# The corpora under libFuzzer; a longer run is "make fuzz".
	build fuzzing CC=clang --enable-fuzzing --enable-sanitizers \
		CFLAGS="-O1 -g" && units fuzzing
	[ -f "$work/gcc/Makefile" ] && step "distcheck" one \
		make -C "$work/gcc" -j"$jobs" distcheck
	step "tarball" count_tap sh "$src/tests/install.sh" \
		"$work"/gcc/weir-*.tar.gz "$work/tarball"
fi
[ $quick = yes ] || python3 "$src/tests/lint/lines.py" >"$logs/lines.log" 2>&1
[ -s "$logs/lines.log" ] &&
	echo "$(wc -l <"$logs/lines.log") remarks on style: $logs/lines.log"

echo "logs: $logs"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed != 0 ]
