# shellcheck shell=bash
# The services as plain processes of this machine. Each has NAME_install, _start, _ready, _stop, _log and _env.

# How often `up` moves to other ports when someone else takes them between the look and the bind.
readonly PORT_RACES=3

native_up() {
  [[ -r /proc/self/stat ]] ||
    fail "starting services natively needs Linux" "start Docker, or set ANTISPOOF_SERVICES=external and the ANTISPOOF_TEST_... variables (CONTRIBUTING.md)"
  local name
  for name in "$@"; do "${name}_install"; done
  for name in "$@"; do native_up_one "$name"; done
}

native_up_one() {
  local name=$1 since try
  since=$(now_ms)
  if native_keeps "$name"; then
    say "$name: running (pid $(running "$state/$name.pid"), port $(port "$name"))"
    return
  fi
  "${name}_stop"
  for ((try = 0; try < PORT_RACES; try++)); do
    claim_slot "$name"
    if native_start "$name"; then
      say "$name: ready in $(took "$since") (port $(port "$name"))"
      return
    fi
    "${name}_stop"
    # Only a lost race for a port is worth another try.
    ! slot_free "$name" "$(<"$state/$name.slot")" || break
  done
  native_give_up "$name"
}

# native_keeps NAME: whether it runs and answers. One that was only just started gets the time it needs.
native_keeps() {
  [[ -s $state/$1.slot ]] && running "$state/$1.pid" >/dev/null || return 1
  native_wait "$1" || { say "$1: runs but does not answer, starting it anew"; return 1; }
}

native_start() {
  "${1}_start" || return 1
  native_wait "$1"
}

native_wait() {
  local limit_name="${1^^}_START_LIMIT"
  # It is not asked again once it has answered: on a busy machine a second answer can be late.
  wait_until "${!limit_name}" native_settled "$1" && ! gone "$state/$1.pid"
}

# Ready, or dead: there is no point in waiting for the dead.
native_settled() { gone "$state/$1.pid" || "${1}_ready"; }

native_give_up() {
  local limit_name="${1^^}_START_LIMIT"
  tail_log "$("${1}_log")"
  fail "$1 did not come up (it has ${!limit_name}s)" "read the log above; scripts/services clean --instance $instance starts with no data"
}

native_down() {
  local name since
  for name in "$@"; do
    since=$(now_ms)
    if running "$state/$name.pid" >/dev/null; then
      "${name}_stop"
      say "$name: stopped in $(took "$since")"
    else
      # A dead one may have left a pid file, and RabbitMQ its name server.
      "${name}_stop"
    fi
  done
}

native_restart() {
  local name=$1 since
  since=$(now_ms)
  [[ -s $state/$name.slot ]] || fail "$name was never started" "scripts/services up --instance $instance"
  "${name}_stop"
  # On the same port or not at all: whoever asked holds the address already.
  slot_free "$name" "$(<"$state/$name.slot")" || fail "$name: its port $(port "$name") was taken meanwhile" "scripts/services up --instance $instance"
  native_start "$name" || native_give_up "$name"
  say "$name: restarted in $(took "$since") (port $(port "$name"))"
}

native_kill() {
  slay "$state/$1.pid"
  say "$1: killed"
}

native_status() {
  local pid
  if ! pid=$(running "$state/$1.pid"); then
    printf '%-9s stopped\n' "$1"
    return 1
  elif ! "${1}_ready"; then
    printf '%-9s unhealthy  pid %s  log %s\n' "$1" "$pid" "$("${1}_log")"
    return 1
  fi
  printf '%-9s running    pid %s  port %s  log %s\n' "$1" "$pid" "$(port "$1")" "$("${1}_log")"
}
