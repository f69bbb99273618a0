#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# install.sh TARBALL FOLDER: goes the way of an admin who has the tarball and
# neither autoconf nor automake; FOLDER stands for the root of the machine.
set -u
tarball=$1
root=$2
conf=$root/etc/weir/weir.conf
number=0
failed=0

# verdict NAME STATUS
verdict()
{
	number=$((number + 1))
	if [ "$2" = 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		failed=1
	fi
}

# Whoever calls one of these gets an error.
mkdir -p "$root/none" && cd "$root" || exit 1
for tool in autoconf autoheader automake aclocal autoreconf; do
	printf '#!/bin/sh\necho "%s was called" >&2\nexit 1\n' $tool \
		>"none/$tool"
	chmod +x "none/$tool"
done
PATH=$root/none:$PATH

tar -xzf "$tarball"
verdict "tar" $?
cd weir-* || exit 1
PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR=$root/none ./configure >"$root/missing" 2>&1
test "$(grep -cE 'package (libssl|libconfig|libpcre2|zlib1g)-dev$' \
	"$root/missing")" = 4
verdict "configure names the packages of missing libraries" $?
./configure --prefix="$root/usr/local" --sysconfdir="$root/etc" \
	--localstatedir="$root/var" --runstatedir="$root/run"
verdict "configure" $?
make
verdict "make" $?
make install
verdict "make install" $?
cmp etc/weir.conf "$conf"
verdict "weir.conf is installed" $?
echo "# edited" >>"$conf"
make install && tail -n 1 "$conf" | grep -q '^# edited$'
verdict "an edited weir.conf is not overwritten" $?
cmp etc/weir.conf "$conf.default"
verdict "the pristine one lies beside it" $?
cmp etc/weir-complete.conf "$root/etc/weir/weir-complete.conf" &&
	cmp etc/weir-complete.keys "$root/etc/weir/weir-complete.keys"
verdict "weir-complete.conf is installed" $?
echo "# edited" >>"$root/etc/weir/weir-complete.conf"
make install &&
	tail -n 1 "$root/etc/weir/weir-complete.conf" | grep -q '^# edited$'
verdict "an edited weir-complete.conf is not overwritten" $?
test -d "$root/etc/weir/conf.d"
verdict "conf.d is there" $?
cd / || exit 1
"$root/usr/local/sbin/weir" -t 2>"$root/messages"
verdict "weir -t" $?
cat "$root/messages"
grep -qF "$conf" "$root/messages"
verdict "weir without -c reads the installed weir.conf" $?
grep -rqF "$root/etc/weir/weir.conf" "$root/usr/local/share/man"
verdict "the manual has the configured paths" $?
cd "$root"/weir-* && make uninstall && tail -n 1 "$conf" | grep -q edited
verdict "an edited weir.conf stays when weir goes" $?
! find "$root/usr/local" -type f | grep .
verdict "nothing else stays" $?
echo "1..$number"
exit $failed
