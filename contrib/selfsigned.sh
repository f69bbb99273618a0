#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# selfsigned.sh - a certificate for trying TLS; browsers will not trust it.
#
# usage: selfsigned.sh [-t ec|rsa] [-d DAYS] NAME [NAME ...]
#
# Writes NAME.pem and NAME.key (readable by you alone) for all the names, which
# may be host names, *.names or addresses.
set -e

type=ec
days=30
while getopts t:d: option; do
	case $option in
	t) type=$OPTARG ;;
	d) days=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || {
	echo "usage: selfsigned.sh [-t ec|rsa] [-d DAYS] NAME [NAME ...]" >&2
	exit 2
}
case $type in
ec) options="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1" ;;
rsa) options="-newkey rsa:2048" ;;
*)
	echo "selfsigned.sh: the type of a key is ec or rsa" >&2
	exit 2
	;;
esac
names=
for name in "$@"; do
	case $name in
	*:* | [0-9]*.[0-9]*.[0-9]*.[0-9]*) kind=IP ;;
	*) kind=DNS ;;
	esac
	names="$names${names:+,}$kind:$name"
done
file=$(echo "$1" | tr '*' '_')
umask 077
# shellcheck disable=SC2086 # several words
openssl req -x509 $options -nodes -days "$days" -subj "/CN=$1" \
	-addext "subjectAltName=$names" -keyout "$file.key" -out "$file.pem" \
	2>/dev/null
chmod 644 "$file.pem"
echo "$file.pem $file.key"
