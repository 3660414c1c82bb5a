# shellcheck shell=bash
# Processes that outlive the shell, and that are ours beyond doubt before a signal is sent.
#
# A pid file holds "PID STARTTIME". A pid alone is reused by the kernel; with the start time (clock ticks since boot,
# field 22 of /proc/PID/stat) it names one process only.

# How long a stopped process may take before it is killed; RabbitMQ flushes and closes its queues in this time.
readonly STOP_LIMIT=30
readonly KILL_LIMIT=10
readonly POLL_INTERVAL=0.1

# launch PIDFILE LOG COMMAND...: in a session of its own, with no descriptor of the caller.
launch() {
  local pid_file=$1 log=$2
  shift 2
  mkdir -p "$(dirname "$log")"
  rotate_log "$log"
  # The child writes the pid file itself, before exec: killing this script at any moment leaves no stray process.
  # Descriptors above 2 are closed because make's job server and the lock would otherwise live as long as the service.
  # shellcheck disable=SC2016
  setsid bash -c '
    pid_file=$1; shift
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      if ((fd > 2)); then eval "exec $fd>&-"; fi
    done
    stat=$(</proc/$$/stat); stat=${stat##*) }; set -- "$stat" "$@"
    fields=($1); shift
    printf "%s %s\n" "$$" "${fields[19]}" >"$pid_file"
    exec "$@"
  ' launch "$pid_file" "$@" </dev/null >>"$log" 2>&1 &
  local child=$!
  disown "$child" 2>/dev/null || true
  wait_until 5 test -s "$pid_file" || fail "$1 could not be launched" "see $log"
}

# A log that has grown over 10 MiB starts anew; the one before is kept.
rotate_log() {
  local size=0
  [[ ! -e $1 ]] || size=$(wc -c <"$1")
  ((size < 10485760)) || mv "$1" "$1.1"
}

# start_time PID: fails when there is no such process, or only a zombie that nobody has reaped.
start_time() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The command name in parentheses may hold spaces and parentheses itself.
  stat=${stat##*) }
  local fields
  read -r -a fields <<<"$stat"
  [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
  printf '%s' "${fields[19]}"
}

# running PIDFILE: prints the pid if the recorded process is still that process.
running() {
  local pid start
  [[ -s $1 ]] || return 1
  read -r pid start <"$1" || return 1
  [[ $(start_time "$pid") == "$start" ]] || return 1
  printf '%s' "$pid"
}

gone() { ! running "$1" >/dev/null; }

# stop PIDFILE SIGNAL: ends the process; after STOP_LIMIT it is killed.
stop() {
  local pid
  if pid=$(running "$1"); then
    kill "-$2" "$pid" 2>/dev/null || true
    if ! wait_until "$STOP_LIMIT" gone "$1"; then
      say "pid $pid did not stop within ${STOP_LIMIT}s: killed"
      slay "$1"
    fi
  fi
  rm -f "$1"
}

# slay PIDFILE: SIGKILL, and returns when the process is gone. The pid file stays, as after a real crash.
slay() {
  local pid
  pid=$(running "$1") || return 0
  kill -KILL "$pid" 2>/dev/null || true
  wait_until "$KILL_LIMIT" gone "$1" || fail "pid $pid survived SIGKILL for ${KILL_LIMIT}s" "ps -o stat,wchan -p $pid"
}

# wait_until SECONDS COMMAND...: polls; 1 when the limit passes first.
wait_until() {
  local deadline=$(($(now_ms) + $1 * 1000))
  shift
  until "$@"; do
    (($(now_ms) < deadline)) || return 1
    sleep "$POLL_INTERVAL"
  done
}
