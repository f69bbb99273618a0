#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# quickstart.sh [URL] - install what the build needs, build weir and run it.
#
# With a URL, such as http://127.0.0.1:3000, weir runs in front of that server.
# Without one it serves a demonstration backend itself. PORT (8080) is where it
# listens, PORT + 1 where the demonstration backend does. Ctrl+C ends it.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/contrib/packages.sh"
port=${PORT:-8080}
backend_port=$((port + 1))

case ${1-} in
"" | http://*) ;;
*)
	sed -n '3,7s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac

packages_install $build_packages $optional_packages
build=$top/build-quickstart
cd "$top"
[ -x configure ] || autoreconf -i
mkdir -p "$build"
cd "$build"
[ -f Makefile ] || "$top/configure" --quiet
make -s -j"$(nproc)" weir

try()
{
	printf '\nweir %s on port %s. In another terminal, try\n\n\t%s\n\n' \
		"$1" "$port" "curl -i http://127.0.0.1:$port/"
}

if [ $# -gt 0 ]; then
	try "runs in front of $1"
	exec ./weir --from ":$port" --to "$1"
fi

demo=$(mktemp -d)
chmod 755 "$demo"
cat >"$demo/weir.conf" <<END
version = 1;
workers = 2;
pid_file = "$demo/weir.pid";

# Where requests go.
upstreams = (
  { name = "demo";
    backends = ( { address = "127.0.0.1:$backend_port"; } ); }
);

services = (
  # The proxy.
  { name = "web";
    listen = ( { address = ":$port"; } );
    headers = { response = { set = { X-Proxy = "weir"; }; }; };
    routes = ( { path = "/"; upstream = "demo"; } ); },

  # The backend: a service that answers by itself.
  { name = "backend";
    listen = ( { address = "127.0.0.1:$backend_port"; } );
    routes = (
      { path = "/";
        respond = {
          body = "Hello \${request.header.x-forwarded-for}, you asked for \${request.path}\n";
        }; }
    ); }
);
END
echo "The configuration: $demo/weir.conf"
try "runs in front of a demonstration backend"
weir=
# INT stops weir at once; nothing here is worth a drain.
trap 'kill -INT "$weir" 2>/dev/null || :' TERM INT HUP
trap 'rm -rf "$demo"' EXIT
./weir -c "$demo/weir.conf" &
weir=$!
status=0
# A signal ends the wait before weir has ended.
while kill -0 "$weir" 2>/dev/null; do
	wait "$weir" && status=0 || status=$?
done
exit "$status"
