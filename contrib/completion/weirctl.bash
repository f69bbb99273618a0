# SPDX-License-Identifier: BSD-2-Clause
# Completion of weirctl for bash; install as
# /usr/share/bash-completion/completions/weirctl

_weirctl()
{
	local current=${COMP_WORDS[COMP_CWORD]}
	local previous=${COMP_WORDS[COMP_CWORD - 1]}
	local i words= socket=

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket) socket=${COMP_WORDS[i + 1]} ;;
		esac
	done
	case $previous in
	-s | --socket)
		COMPREPLY=($(compgen -f -- "$current"))
		return ;;
	-t | --timeout)
		return ;;
	loglevel)
		words="error warn notice info debug" ;;
	apikey)
		words="add list remove" ;;
	--file)
		COMPREPLY=($(compgen -f -- "$current"))
		return ;;
	stop)
		words="--now" ;;
	reload)
		words="--config-only" ;;
	*)
		words="--json --socket --timeout --help --version help
			apikey commands config drain loglevel reload reopen status
			stop upgrade workers"
		# What the running instance offers beside that.
		words+=" $(weirctl ${socket:+--socket "$socket"} --timeout 1 \
			--json background commands 2>/dev/null |
			tr ',' '\n' | sed -n 's/.*"name":"\([^"]*\)".*/\1/p' |
			tr ' ' '\n' | sort -u)" ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _weirctl weirctl
