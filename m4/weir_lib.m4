# SPDX-License-Identifier: BSD-2-Clause
# Libraries: what is missing is collected, then named all at once together with
# the Debian packages that have it.

# WEIR_LIB_REQUIRED(VARIABLE, PKG-CONFIG-SPEC, DEBIAN-PACKAGE)
AC_DEFUN([WEIR_LIB_REQUIRED], [
	PKG_CHECK_MODULES([$1], [$2], [
		WEIR_CFLAGS="$WEIR_CFLAGS $$1[]_CFLAGS"
		WEIR_LIBS="$WEIR_LIBS $$1[]_LIBS"
	], [
		weir_missing="$weir_missing
  $2: install the Debian package $3"
	])
])

# WEIR_LIB_OPTIONAL(SWITCH, VARIABLE, PKG-CONFIG-SPEC, DEBIAN-PACKAGE, PURPOSE)
# Defines HAVE_VARIABLE and the conditional of that name. Given no switch, the
# library is used when it is there.
AC_DEFUN([WEIR_LIB_OPTIONAL], [
	AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1],
		[$5 (Debian: $4) @<:@used when found@:>@])],
		[], [with_$1=check])
	weir_have_$1=no
	AS_IF([test "x$with_$1" != xno], [
		PKG_CHECK_MODULES([$2], [$3], [weir_have_$1=yes], [
			AS_IF([test "x$with_$1" != xcheck], [
				weir_missing="$weir_missing
  $3 (--with-$1): install the Debian package $4"
			])
		])
	])
	AS_IF([test "$weir_have_$1" = yes], [
		AC_DEFINE([HAVE_$2], [1], [Define to 1 for $5.])
		weir_with="$weir_with $1"
		m4_if([$1], [cmocka], [], [
			WEIR_CFLAGS="$WEIR_CFLAGS $$2[]_CFLAGS"
			WEIR_LIBS="$WEIR_LIBS $$2[]_LIBS"
		])
	], [
		weir_without="$weir_without $1"
	])
	AM_CONDITIONAL([HAVE_$2], [test "$weir_have_$1" = yes])
])

# WEIR_LIB_REPORT: stop when something that is needed was not found.
AC_DEFUN([WEIR_LIB_REPORT], [
	AS_IF([test -z "$PKG_CONFIG"], [
		AC_MSG_ERROR([pkg-config was not found: install the Debian package pkg-config])
	])
	AS_IF([test -n "$weir_missing"], [
		AC_MSG_ERROR([libraries that weir needs were not found:$weir_missing])
	])
	AC_SUBST([WEIR_CFLAGS])
	AC_SUBST([WEIR_LIBS])
])
