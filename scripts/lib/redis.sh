# shellcheck shell=bash
# Redis (or Valkey, which speaks the same protocol).

readonly REDIS_START_LIMIT=30

redis_program() { command -v redis-server || command -v valkey-server; }

redis_install() { redis_program >/dev/null || install_packages redis-server; }

redis_start() {
  local data=$state/redis
  mkdir -p "$data/data"
  # Append-only, so that a restart keeps the ledger as a production Redis would. A test that kills it and counts what was paid for
  # wants "always": with "everysec" the last seconds can be in the server's memory only while an earlier fsync is under way.
  cat >"$data/redis.conf" <<CONF
bind 127.0.0.1
port $(port redis)
dir "$data/data"
daemonize no
appendonly yes
appendfsync ${ANTISPOOF_SERVICES_REDIS_FSYNC:-everysec}
save ""
CONF
  launch "$state/redis.pid" "$data/redis.log" "$(redis_program)" "$data/redis.conf"
}

redis_ready() {
  local pid
  pid=$(running "$state/redis.pid") || return 1
  listens "$pid" "$(port redis)" && redis_answers "$(port redis)"
}

# "+PONG", in hexadecimal.
redis_answers() { [[ $(exchange "$1" 'PING\r\nQUIT\r\n') == 2b504f4e47* ]]; }

redis_log() { printf '%s' "$state/redis/redis.log"; }

redis_stop() { stop "$state/redis.pid" TERM; }

redis_env() { printf 'export ANTISPOOF_TEST_REDIS_URL=%q\n' "redis://127.0.0.1:$(port redis)/"; }
