# shellcheck shell=bash
# Services that are the caller's own: used, never started or stopped.

readonly EXTERNAL_VARIABLES_rabbitmq='ANTISPOOF_TEST_AMQP_URL ANTISPOOF_TEST_MGMT_URL'
readonly EXTERNAL_VARIABLES_minio='ANTISPOOF_TEST_S3_ENDPOINT ANTISPOOF_TEST_S3_ACCESS_KEY ANTISPOOF_TEST_S3_SECRET_KEY'
readonly EXTERNAL_VARIABLES_redis='ANTISPOOF_TEST_REDIS_URL'

external_variables() {
  local list="EXTERNAL_VARIABLES_$1"
  printf '%s' "${!list}"
}

# is_external NAME: by order, or because one of its variables is set to something that did not come from us.
is_external() {
  [[ $forced_mode != external ]] || return 0
  local variable
  for variable in $(external_variables "$1"); do
    if [[ -n ${!variable:-} ]] && ! came_from_us "$variable" "$1"; then return 0; fi
  done
  return 1
}

# After eval "$(scripts/services env)" the variables are set as well, and tests that run under them start instances of
# their own. What an instance of this clone has recorded for a service it started is no wish of the caller.
came_from_us() {
  local file
  for file in "$services_dir"/*/env; do
    [[ -s $file && ! -e ${file%/env}/$2.external ]] || continue
    if grep -qxF "export $1=$(printf '%q' "${!1}")" "$file"; then return 0; fi
  done
  return 1
}

external_check() {
  local variable missing=()
  for variable in $(external_variables "$1"); do [[ -n ${!variable:-} ]] || missing+=("$variable"); done
  ((${#missing[@]} == 0)) || fail "$1 is yours, but not all of its variables are set" "set ${missing[*]}"
  case $1 in
    rabbitmq)
      external_reach "$1" "$ANTISPOOF_TEST_AMQP_URL"
      external_reach "$1" "$ANTISPOOF_TEST_MGMT_URL"
      ;;
    minio) external_reach "$1" "$ANTISPOOF_TEST_S3_ENDPOINT" ;;
    redis) external_reach "$1" "$ANTISPOOF_TEST_REDIS_URL" ;;
  esac
}

# external_reach NAME URL: a TCP connection, no more; the tests say the rest. The URL itself may hold a password.
external_reach() {
  local scheme=${2%%://*} rest=${2#*://} host port
  rest=${rest%%[/?]*}
  rest=${rest##*@}
  if [[ $rest =~ ^(.*):([0-9]+)$ ]]; then
    host=${BASH_REMATCH[1]}
    port=${BASH_REMATCH[2]}
  else
    host=$rest
    case $scheme in
      amqp) port=5672 ;; amqps) port=5671 ;; http) port=80 ;; https) port=443 ;; redis | rediss) port=6379 ;;
      *) fail "$1: no port in its address, and none known for '$scheme'" "write it as $scheme://host:port" ;;
    esac
  fi
  host=${host#\[}
  host=${host%\]}
  # shellcheck disable=SC2016
  timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' reach "$host" "$port" 2>/dev/null ||
    fail "$1 does not answer at $host:$port" "start it, or unset its variables: $(external_variables "$1")"
  say "$1: yours, answers at $host:$port"
}

external_env() {
  local variable
  for variable in $(external_variables "$1"); do printf 'export %s=%q\n' "$variable" "${!variable:-}"; done
}
