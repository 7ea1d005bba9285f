# shellcheck shell=bash
# What the launchers share; sourced by them. They set an environment and call tart-jax, no more.

fail() { # SENTENCE
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 2
}

help() { # the comment at the top of the launcher
  sed -n '2,/^set /{ /^set /d; s/^# \{0,1\}//; p; }' "$0"
}

need() { # OPTION VALUE
  [ -n "$2" ] || fail "$1 is missing; --help names the options."
}

quoted() { # WORDS: one line that any POSIX shell reads as these words
  local word line='' single="'" escaped="'\\''"
  for word; do
    case $word in
      '' | *[!A-Za-z0-9_./:=,@%+-]*) word="'${word//$single/$escaped}'" ;;
    esac
    line+="${line:+ }$word"
  done
  printf '%s\n' "$line"
}

perform() { # COMMAND: runs it in place of the launcher, or prints it under --dry-run
  if [ -n "$DRY_RUN" ]; then
    quoted "$@"
  else
    exec "$@"
  fi
}
