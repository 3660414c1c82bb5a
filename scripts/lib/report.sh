# shellcheck shell=bash
# What the scripts say: one short line per step on stderr, and how long it took.

say() { printf '%s\n' "services: $*" >&2; }

hint() { printf '%s\n' "          $*" >&2; }

# fail WHAT REMEDY: says both and ends the script with 69, "a service cannot be had".
fail() {
  say "failed: $1"
  hint "remedy: $2"
  exit 69
}

now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  printf '%s' "$((now / 1000))"
}

# took SINCE_MS: "1.2 s"
took() {
  local ms=$(($(now_ms) - $1))
  printf '%d.%d s' "$((ms / 1000))" "$((ms % 1000 / 100))"
}

# tail_log FILE: the last lines of a log, set off from our own.
tail_log() {
  [[ -s $1 ]] || { hint "(no output in $1)"; return; }
  hint "last lines of $1:"
  tail -n 20 "$1" | sed 's/^/          | /' >&2
}
