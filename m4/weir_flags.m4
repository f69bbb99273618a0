# SPDX-License-Identifier: BSD-2-Clause
# Switches about how weir is built, and the flags of the compiler that follow.

# WEIR_ARG_BUILD: --enable-sanitizers and the like, and the account.
AC_DEFUN([WEIR_ARG_BUILD], [
	AC_ARG_ENABLE([sanitizers], [AS_HELP_STRING([--enable-sanitizers],
		[build with AddressSanitizer and UndefinedBehaviorSanitizer])],
		[], [enable_sanitizers=no])
	AC_ARG_ENABLE([fuzzing], [AS_HELP_STRING([--enable-fuzzing],
		[build the fuzz targets with libFuzzer (needs CC=clang); no unit
		tests then])],
		[], [enable_fuzzing=no])
	AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror],
		[make every warning an error])],
		[], [enable_werror=no])
	AC_ARG_ENABLE([lto], [AS_HELP_STRING([--disable-lto],
		[do not optimise weir at link time, which is done where the
		compiler makes objects that can be linked in both ways])],
		[], [enable_lto=auto])
	AC_ARG_ENABLE([coverage], [AS_HELP_STRING([--enable-coverage],
		[record which lines the tests reach])],
		[], [enable_coverage=no])
	AC_ARG_ENABLE([scenarios], [AS_HELP_STRING([--disable-scenarios],
		[leave the scenarios out of make check])],
		[], [enable_scenarios=yes])
	AC_ARG_WITH([user], [AS_HELP_STRING([--with-user=NAME],
		[account of the workers @<:@weir@:>@])],
		[], [with_user=weir])
	AC_ARG_WITH([group], [AS_HELP_STRING([--with-group=NAME],
		[group of the workers @<:@the user's name@:>@])],
		[], [with_group=$with_user])
	AS_CASE([$with_user], [yes|no|""],
		[AC_MSG_ERROR([--with-user needs a name])])
	AS_CASE([$with_group], [yes|no|""],
		[AC_MSG_ERROR([--with-group needs a name])])
	AC_DEFINE_UNQUOTED([WEIR_USER], ["$with_user"],
		[Account of the workers when the configuration names none.])
	AC_DEFINE_UNQUOTED([WEIR_GROUP], ["$with_group"],
		[Group of the workers when the configuration names none.])
	AM_CONDITIONAL([FUZZING], [test "x$enable_fuzzing" != xno])
	AS_IF([test "x$enable_sanitizers$enable_fuzzing" != xnono ||
		test "x$enable_coverage" != xno], [enable_lto=no])
])

# WEIR_ARG_SYSTEMD: where the units go; without the switch to the data folder.
AC_DEFUN([WEIR_ARG_SYSTEMD], [
	AC_ARG_WITH([systemdsystemunitdir],
		[AS_HELP_STRING([--with-systemdsystemunitdir@<:@=DIR@:>@],
		[install weir.service and weir.socket in DIR, or where systemd
		says])],
		[], [with_systemdsystemunitdir=no])
	AS_IF([test "x$with_systemdsystemunitdir" = xyes], [
		with_systemdsystemunitdir=`pkg-config \
			--variable=systemdsystemunitdir systemd 2>/dev/null`
		AS_IF([test -z "$with_systemdsystemunitdir"], [AC_MSG_ERROR(
			[--with-systemdsystemunitdir needs a folder: systemd.pc was not found])])
	])
	AC_SUBST([systemdsystemunitdir], [$with_systemdsystemunitdir])
	AM_CONDITIONAL([SYSTEMD_UNITS],
		[test "x$with_systemdsystemunitdir" != xno])
])

# WEIR_TRY_FLAG(VARIABLE, FLAGS, [IF-REFUSED]): append FLAGS to VARIABLE if
# the compiler takes them for compiling and linking without a warning.
AC_DEFUN([WEIR_TRY_FLAG], [
	AC_MSG_CHECKING([whether $CC takes $2])
	weir_save_cflags=$CFLAGS
	CFLAGS="-Werror $2 $CFLAGS"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]],
		[[char c[4]; memset(c, 0, sizeof(c)); return c[0];]])],
		[AC_MSG_RESULT([yes])
		$1="$$1 $2"],
		[AC_MSG_RESULT([no])
		$3])
	CFLAGS=$weir_save_cflags
])

# WEIR_COMPILER_FLAGS: sets WARN_CFLAGS, BUILD_CFLAGS, BUILD_CPPFLAGS,
# BUILD_LDFLAGS and FUZZ_LDFLAGS.
AC_DEFUN([WEIR_COMPILER_FLAGS], [
	weir_std=
	WEIR_TRY_FLAG([weir_std], [-std=c11],
		[AC_MSG_ERROR([weir needs a compiler for C11])])
	for weir_flag in -Wall -Wextra -Wpedantic -Wconversion -Wshadow \
		-Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
		-Wcast-qual -Wcast-align -Wwrite-strings -Wformat=2 -Wvla \
		-Wundef -Wimplicit-fallthrough -Wswitch-enum
	do
		WEIR_TRY_FLAG([WARN_CFLAGS], [$weir_flag])
	done
	AS_IF([test "x$enable_werror" != xno],
		[WARN_CFLAGS="$WARN_CFLAGS -Werror"])

	BUILD_CFLAGS=$weir_std
	BUILD_CPPFLAGS=
	BUILD_LDFLAGS=
	FUZZ_LDFLAGS=
	WEIR_TRY_FLAG([BUILD_CFLAGS], [-fstack-protector-strong])
	WEIR_TRY_FLAG([BUILD_CFLAGS], [-fPIE])
	WEIR_TRY_FLAG([BUILD_LDFLAGS], [-pie])
	WEIR_TRY_FLAG([BUILD_LDFLAGS], [-Wl,-z,relro,-z,now])
	WEIR_TRY_FLAG([BUILD_LDFLAGS], [-Wl,--as-needed])
	AS_IF([test "x$enable_sanitizers$enable_fuzzing" = xnono], [
		# Refused here when CFLAGS do not optimise.
		WEIR_TRY_FLAG([BUILD_CPPFLAGS],
			[-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2])
	])
	AS_IF([test "x$enable_sanitizers" != xno], [
		weir_flag="-fsanitize=address,undefined"
		weir_flag="$weir_flag -fno-sanitize-recover=undefined"
		weir_flag="$weir_flag -fno-omit-frame-pointer"
		weir_sanitize=
		WEIR_TRY_FLAG([weir_sanitize], [$weir_flag],
			[AC_MSG_ERROR([$CC has no sanitizers (those of clang: Debian package libclang-rt-dev)])])
		BUILD_CFLAGS="$BUILD_CFLAGS $weir_sanitize"
		BUILD_LDFLAGS="$BUILD_LDFLAGS $weir_sanitize"
	])
	AS_IF([test "x$enable_fuzzing" != xno], [
		WEIR_TRY_FLAG([BUILD_CFLAGS], [-fsanitize=fuzzer-no-link],
			[AC_MSG_ERROR([--enable-fuzzing needs CC=clang with libFuzzer (Debian: clang, libclang-rt-dev)])])
		BUILD_LDFLAGS="$BUILD_LDFLAGS -fsanitize=fuzzer-no-link"
		FUZZ_LDFLAGS="-fsanitize=fuzzer"
	])
	# The objects hold machine code too: tests are linked with that.
	NO_LTO_LDFLAGS=
	AS_IF([test "x$enable_lto" != xno], [
		weir_lto=
		WEIR_TRY_FLAG([weir_lto], [-flto=auto -ffat-lto-objects],
			[AS_IF([test "x$enable_lto" = xyes], [AC_MSG_ERROR(
			[$CC makes no objects for both ways of linking])])])
		AS_IF([test -n "$weir_lto"], [
			BUILD_CFLAGS="$BUILD_CFLAGS $weir_lto"
			NO_LTO_LDFLAGS="-fno-lto"
		])
	])
	AS_IF([test "x$enable_coverage" != xno], [
		WEIR_TRY_FLAG([BUILD_CFLAGS], [--coverage],
			[AC_MSG_ERROR([$CC cannot record coverage])])
		BUILD_LDFLAGS="$BUILD_LDFLAGS --coverage"
		BUILD_CPPFLAGS="$BUILD_CPPFLAGS -DWEIR_COVERAGE"
	])
	AC_SUBST([WARN_CFLAGS])
	AC_SUBST([BUILD_CFLAGS])
	AC_SUBST([BUILD_CPPFLAGS])
	AC_SUBST([BUILD_LDFLAGS])
	AC_SUBST([NO_LTO_LDFLAGS])
	AC_SUBST([FUZZ_LDFLAGS])
	AC_SUBST([WEIR_SANITIZERS], [$enable_sanitizers])
	AC_SUBST([WEIR_FUZZING], [$enable_fuzzing])
])

# WEIR_PROG_AR: the archiver, and nm for the tests.
AC_DEFUN([WEIR_PROG_AR], [
	AM_PROG_AR
	AC_PROG_RANLIB
	AC_CHECK_TOOLS([NM], [nm])
])

# WEIR_PROG_PYTEST: the first Python 3 that has pytest, or none of the two.
AC_DEFUN([WEIR_PROG_PYTEST], [
	weir_have_pytest=no
	AC_MSG_CHECKING([for Python 3 with pytest])
	for weir_python in $PYTHON python3 /usr/bin/python3; do
		AS_IF([$weir_python -c 'import pytest' >/dev/null 2>&1], [
			PYTHON=$weir_python
			weir_have_pytest=yes
			break
		])
	done
	AC_MSG_RESULT([$weir_have_pytest])
	AC_PATH_PROGS([PYTHON], [python3])
	AM_CONDITIONAL([HAVE_PYTHON], [test -n "$PYTHON"])
	AM_CONDITIONAL([HAVE_PYTEST], [test "$weir_have_pytest" = yes])
	AM_CONDITIONAL([SCENARIOS], [test "x$enable_scenarios" != xno])
])
