# SPDX-License-Identifier: BSD-2-Clause
# Modules: which are built in, and the list of them that src/site/modules.c
# expands (src/site/modules.def, one MODULE(NAME) a line).

AC_DEFUN([WEIR_MODULES_BEGIN], [
	AC_ARG_ENABLE([modules], [AS_HELP_STRING([--enable-modules=LIST],
		[modules to build in, separated by commas; default and all
		are lists of their own @<:@default@:>@])],
		[], [enable_modules=default])
	AC_ARG_WITH([module], [AS_HELP_STRING([--with-module=DIR],
		[build in a module from outside the tree; several separated
		by commas])],
		[], [with_module=])
	AS_CASE([$enable_modules],
		[yes], [enable_modules=default],
		[no|none], [enable_modules=])
	weir_modules=
	weir_modules_known=
])

# WEIR_MODULE(NAME, on|off, PURPOSE): a module of the tree; "off" ones are
# built in only when they are named or all are asked for.
AC_DEFUN([WEIR_MODULE], [
	AC_MSG_CHECKING([for module $1 ($3)])
	weir_modules_known="$weir_modules_known $1"
	weir_on=no
	AS_CASE([",$enable_modules,"],
		[*,$1,*|*,all,*], [weir_on=yes],
		[*,default,*], [AS_IF([test $2 = on], [weir_on=yes])])
	AS_IF([test $weir_on = yes], [weir_modules="$weir_modules $1"])
	AM_CONDITIONAL([MODULE_]m4_toupper([$1]), [test $weir_on = yes])
	AC_MSG_RESULT([$weir_on])
])

# WEIR_MODULES_END: check the names that were asked for, add the modules from
# outside, write the list and the rules that build the latter.
AC_DEFUN([WEIR_MODULES_END], [
	m4_pattern_allow([^AM_V_CC$])
	weir_list=`echo "$enable_modules" | tr , ' '`
	for weir_name in $weir_list; do
		AS_CASE([" default all $weir_modules_known "],
			[*" $weir_name "*], [],
			[AC_MSG_ERROR([--enable-modules: there is no module $weir_name; known are default, all,$weir_modules_known])])
	done
	external_objects=
	external_rules=external.mk
	: >external.mk
	# The switch may be repeated, of which autoconf keeps the last alone.
	weir_list=
	eval "set weir $ac_configure_args"
	shift
	for weir_arg in "$[]@"; do
		AS_CASE([$weir_arg], [--with-module=*],
			[weir_list="$weir_list `echo "$weir_arg" | \
				$SED 's/^--with-module=//' | tr , ' '`"])
	done
	for weir_dir in $weir_list; do
		WEIR_MODULE_EXTERNAL
	done
	AC_SUBST([external_objects])
	AC_SUBST_FILE([external_rules])
	weir_modules_def=
	for weir_name in $weir_modules; do
		weir_modules_def="${weir_modules_def}MODULE($weir_name)
"
	done
	AC_CONFIG_COMMANDS([src/site/modules.def], [
		AS_MKDIR_P([src/site])
		printf %s "$weir_modules_def" >src/site/modules.def
	], [weir_modules_def='$weir_modules_def'])
])

# WEIR_MODULE_EXTERNAL: one folder from outside. Its files.am is the same as
# that of a module of the tree, of which "weir_src +=" is read, and the files
# are called there modules/NAME/..., so that the folder can move into the tree.
AC_DEFUN([WEIR_MODULE_EXTERNAL], [
	AC_MSG_CHECKING([for a module in $weir_dir])
	AS_IF([test -f "$weir_dir/files.am"], [],
		[AC_MSG_ERROR([--with-module: $weir_dir has no files.am])])
	weir_dir=`cd "$weir_dir" && pwd`
	weir_src=`$SED -e ':a' -e '/\\\\$/N; s/\\\\\n/ /; ta' \
		"$weir_dir/files.am" | $SED -n 's/^weir_src *+= *//p'`
	weir_name=`echo $weir_src | $SED -n 's,^modules/\([[a-z0-9_]]*\)/.*,\1,p'`
	AS_IF([test -n "$weir_name"], [], [AC_MSG_ERROR([$weir_dir/files.am has no line "weir_src += modules/NAME/NAME.c"])])
	AS_IF([test -f "$weir_dir/$weir_name.c"], [],
		[AC_MSG_ERROR([--with-module: $weir_dir has no $weir_name.c])])
	AS_CASE([" $weir_modules "], [*" $weir_name "*],
		[AC_MSG_ERROR([--with-module: there are two modules $weir_name])])
	weir_modules="$weir_modules $weir_name"
	for weir_file in $weir_src; do
		weir_base=`echo $weir_file | $SED "s,^modules/$weir_name/,,"`
		AS_CASE([$weir_base], [*.c], [
			weir_object="external/$weir_name/`echo $weir_base | $SED 's,c$,o,'`"
			external_objects="$external_objects $weir_object"
			printf '%s: %s\n\t%s\n\t%s\n-include %s\n' \
				"$weir_object" "$weir_dir/$weir_base config.h" \
				'@$(MKDIR_P) $(@D)' \
				'$(AM_V_CC)$(COMPILE) -MMD -MP -c -o $[]@ $<' \
				"${weir_object%o}d" >>external.mk
		])
	done
	AC_MSG_RESULT([$weir_name])
])

AC_DEFUN([WEIR_SUMMARY], [
	AC_MSG_NOTICE([
weir $PACKAGE_VERSION
  configuration  $sysconfdir/weir/weir.conf
  state, run     $localstatedir, $runstatedir
  modules       ${weir_modules:- none}
  with          ${weir_with:- nothing optional}
  without       ${weir_without:- nothing}])
	AS_IF([test "$weir_have_cmocka" != yes], [AC_MSG_NOTICE([
unit tests are skipped: install the Debian package libcmocka-dev])])
	AS_IF([test "$weir_have_pytest" != yes], [AC_MSG_NOTICE([
scenarios are skipped: install the Debian packages python3 and python3-pytest])])
])
