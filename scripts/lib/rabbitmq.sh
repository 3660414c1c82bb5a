# shellcheck shell=bash
# RabbitMQ with the management plugin, in a node, a cookie, an epmd and a data directory of its own.

readonly RABBITMQ_START_LIMIT=120

# The server script itself. The one that Debian puts on the PATH is a wrapper that insists on root or the rabbitmq user.
rabbitmq_program() {
  local candidate
  for candidate in /usr/lib/rabbitmq/bin/rabbitmq-server /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server \
    /opt/rabbitmq/sbin/rabbitmq-server; do
    if [[ -x $candidate ]]; then printf '%s' "$candidate"; return; fi
  done
  command -v rabbitmq-server
}

rabbitmq_install() { rabbitmq_program >/dev/null || install_packages rabbitmq-server; }

rabbitmq_start() {
  local data=$state/rabbitmq
  mkdir -p "$data/home" "$data/conf.d" "$data/data" "$data/log"
  cp "$root/deploy/compose/rabbitmq/10-antispoof.conf" "$data/conf.d/"
  cp "$root/deploy/compose/rabbitmq/advanced.config" "$data/advanced.config"
  cat >"$data/conf.d/20-ports.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$(port rabbitmq)
management.tcp.ip = 127.0.0.1
management.tcp.port = $(port rabbitmq 1)
CONF
  # Empty, so that neither the main file nor the environment file of the machine is read instead.
  : >"$data/rabbitmq.conf"
  : >"$data/rabbitmq-env.conf"
  printf '[rabbitmq_management].\n' >"$data/enabled_plugins"

  rabbitmq_start_epmd
  # RUNNING_UNDER_SYSTEMD makes the server script exec the Erlang machine, so that the pid in the pid file is the broker's.
  # shellcheck disable=SC2046
  launch "$state/rabbitmq.pid" "$data/log/console.log" env -u NOTIFY_SOCKET $(rabbitmq_epmd_env) \
    HOME="$data/home" RUNNING_UNDER_SYSTEMD=true ERL_CRASH_DUMP="$data/log/erl_crash.dump" \
    RABBITMQ_NODENAME="antispoof-$instance-$clone@localhost" \
    RABBITMQ_CONF_ENV_FILE="$data/rabbitmq-env.conf" \
    RABBITMQ_CONFIG_FILE="$data/rabbitmq.conf" RABBITMQ_CONFIG_FILES="$data/conf.d" \
    RABBITMQ_ADVANCED_CONFIG_FILE="$data/advanced.config" RABBITMQ_ENABLED_PLUGINS_FILE="$data/enabled_plugins" \
    RABBITMQ_MNESIA_BASE="$data/data" RABBITMQ_GENERATED_CONFIG_DIR="$data/generated" \
    RABBITMQ_LOG_BASE="$data/log" RABBITMQ_LOGS="$data/log/rabbitmq.log" RABBITMQ_PID_FILE="$data/broker.pid" \
    RABBITMQ_DIST_PORT="$(port rabbitmq 2)" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false' \
    "$(rabbitmq_program)"
}

# Our own name server for Erlang nodes: a node would otherwise register with, or start, the machine's.
rabbitmq_start_epmd() {
  ! running "$state/epmd.pid" >/dev/null || return 0
  # shellcheck disable=SC2046
  launch "$state/epmd.pid" "$state/rabbitmq/log/epmd.log" env $(rabbitmq_epmd_env) \
    epmd -port "$(port rabbitmq 3)" -address 127.0.0.1
  wait_until 10 rabbitmq_epmd_settled && rabbitmq_epmd_ready
}

rabbitmq_epmd_settled() { gone "$state/epmd.pid" || rabbitmq_epmd_ready; }

rabbitmq_epmd_ready() {
  local pid
  pid=$(running "$state/epmd.pid") && listens "$pid" "$(port rabbitmq 3)"
}

rabbitmq_epmd_env() { printf 'ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=%s' "$(port rabbitmq 3)"; }

rabbitmq_ready() {
  local pid
  pid=$(running "$state/rabbitmq.pid") || return 1
  listens "$pid" "$(port rabbitmq)" && listens "$pid" "$(port rabbitmq 1)" &&
    rabbitmq_answers "$(port rabbitmq)" &&
    [[ $(http_status "$(port rabbitmq 1)" "/api/health/checks/port-listener/$(port rabbitmq)" guest:guest) == 200 ]]
}

# The protocol header is answered with a method frame (type 1) on channel 0: connection.start.
rabbitmq_answers() { [[ $(exchange "$1" 'AMQP\x00\x00\x09\x01') == 010000* ]]; }

# RabbitMQ's own tool, beside the server script: the wrapper on the PATH insists on root or the rabbitmq user, too.
native_rabbitmqctl() {
  local tool
  tool=$(dirname "$(rabbitmq_program)")/rabbitmqctl
  # shellcheck disable=SC2046
  env $(rabbitmq_epmd_env) HOME="$state/rabbitmq/home" RABBITMQ_CONF_ENV_FILE="$state/rabbitmq/rabbitmq-env.conf" \
    "$tool" --node "antispoof-$instance-$clone@localhost" "$@"
}

native_import() {
  cat >"$state/rabbitmq/definitions.json"
  native_rabbitmqctl import_definitions "$state/rabbitmq/definitions.json" </dev/null
}

rabbitmq_log() {
  if [[ -s $state/rabbitmq/log/rabbitmq.log ]]; then
    printf '%s' "$state/rabbitmq/log/rabbitmq.log"
  else
    printf '%s' "$state/rabbitmq/log/console.log"
  fi
}

rabbitmq_stop() {
  stop "$state/rabbitmq.pid" TERM
  stop "$state/epmd.pid" TERM
}

rabbitmq_env() {
  printf 'export ANTISPOOF_TEST_AMQP_URL=%q\n' "amqp://guest:guest@127.0.0.1:$(port rabbitmq)/%2f"
  printf 'export ANTISPOOF_TEST_MGMT_URL=%q\n' "http://guest:guest@127.0.0.1:$(port rabbitmq 1)"
}
