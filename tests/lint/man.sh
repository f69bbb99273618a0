#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The manual pages are clean under mandoc, and no path is left to fill in.
if [ -z "$MANDOC" ]; then
	echo "1..0 # SKIP needs mandoc"
	exit 0
fi
number=0
failed=0

# verdict NAME PROBLEMS
verdict()
{
	number=$((number + 1))
	if [ -z "$2" ]; then
		echo "ok $number - $1"
	else
		echo "$2" | sed 's/^/# /'
		echo "not ok $number - $1"
		failed=1
	fi
}

for page in $WEIR_MAN_PAGES; do
	verdict "$page under mandoc -Tlint" \
		"$("$MANDOC" -Tlint -W style "$WEIR_BUILDDIR/$page" 2>&1 |
			grep -v -e 'referenced manual not found' \
				-e 'outdated mandoc.db')"
	verdict "$page has its paths" \
		"$(grep -n '@[A-Za-z]*dir@' "$WEIR_BUILDDIR/$page")"
done
echo "1..$number"
exit $failed
