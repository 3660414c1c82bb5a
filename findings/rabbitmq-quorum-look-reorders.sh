#!/usr/bin/env bash
# What was seen: RabbitMQ 3.10.8 and 4.3.6. Jobs 0, 1, 2 ... lie in a queue; one reader takes them all without an ack, and gives
# them back. The order in which a quorum queue delivers them from then on (a classic queue: as before, always):
#                                                                   3.10.8                          4.3.6
#   9 by basic.get, channel closed                                  as before                       as before
#   12 by basic.get, channel closed                                 0 9 10 11 1 2 3 ... 8           0 9 10 11 1 2 3 ... 8
#   100 by basic.get, channel closed                                by chance, new at each look     0 9 99 10 11 ... 98
#   40 by basic.get, one basic.nack of all (multiple, requeue)      0 ... 32, then 39 38 ... 33     0 ... 32, then 39 38 ... 33
#   12 by the management UI's "Get messages", nack and requeue      0 9 10 11 1 2 3 ... 8           as before
#   300 by the same                                                 by chance                       0 ... 32, the others disordered
#   300 by a consumer, channel closed                               as before                       as before
#
# Expected: the UI's own help says "the message will be put back into the queue in place", the guide to acknowledgements
#   "to its original position in its queue, if possible"; with one reader it always is, and a classic queue does it.
# Seen: each message of basic.get is a consumer of its own whose name is its delivery tag as text. A channel that ends gives
#   them back in the order of these names, 1 10 11 12 2 3 (above 32 of them, 3.10.8 has them in no order). A nack gives back
#   33, and the others when those are written to the log, in another order. Later consumers get them in the new order.
#   (Since 4.2 the guide to queues says, among rules for keeping order, not to use basic.get; not why, nor that to look is to use
#   it. Issue 6804 of rabbitmq-server tells that looks at one message at a time show another one each; not this.)
# Why it matters: to look at a queue of failed jobs in the UI is to shuffle it: it is then worked off or replayed in
#   another order, and two looks at its first page may show different jobs. antispoofd shows what is parked as a consumer.
# Needs: root and apt on Debian (to unpack packages of bookworm and forky into a folder), python3. 2 minutes, 150 MB.
set -euo pipefail

work=$(mktemp -d)
brokers=()
finish() {
  local broker
  # Killing unshare ends its whole PID namespace, epmd with it.
  for broker in "${brokers[@]}"; do
    kill -KILL "$broker" 2>/dev/null || true
    for _ in {1..50}; do kill -0 "$broker" 2>/dev/null || break; sleep 0.1; done
  done
  sleep 1
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"
((EUID == 0)) || fail 'root is needed, for chroot'

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# RabbitMQ with all that it depends on, from the mirror that this machine uses, into a root of its own.
unpack_broker() { # SUITE VERSION
  local suite=$1 version=$2 mirror package
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | head -n1)
  [[ -n $mirror ]] || fail 'apt knows no Debian mirror (apt-get update?)'
  mkdir -p "$suite"/{lists,archives}/partial "$suite/root"
  : >"$suite/status"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" >"$suite/sources.list"
  local apt=(apt-get -qq -y -o "Dir::Etc::sourcelist=$work/$suite/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/$suite/lists"
    -o "Dir::State::status=$work/$suite/status" -o "Dir::Cache::archives=$work/$suite/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o APT::Install-Recommends=false)
  timeout 200 "${apt[@]}" update >apt.log 2>&1 || fail 'the package lists cannot be had'
  timeout 400 "${apt[@]}" --download-only install "rabbitmq-server=$version" bash coreutils sed grep gawk util-linux hostname \
    >>apt.log 2>&1 || fail "rabbitmq-server $version cannot be had (any more)"
  for package in "$suite"/archives/*.deb; do dpkg-deb -x "$package" "$suite/root"; done
}
start_broker() { # SUITE AMQP_PORT HTTP_PORT
  local root=$1/root port=$2 link
  mkdir -p "$root"/{dev,proc,tmp,home}
  [[ -e $root/bin/bash ]] || for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
  [[ -e $root/bin/sh ]] || ln -s bash "$root/bin/sh"
  [[ -e $root/usr/bin/awk ]] || ln -s gawk "$root/usr/bin/awk"
  mknod -m 666 "$root/dev/null" c 1 3
  mknod -m 666 "$root/dev/urandom" c 1 9
  echo '127.0.0.1 localhost' >"$root/etc/hosts"
  echo 'root:x:0:0::/home:/bin/sh' >"$root/etc/passwd"
  echo 'hosts: files' >"$root/etc/nsswitch.conf"
  : >"$root/etc/broker-env.conf"
  echo '[rabbitmq_management].' >"$root/etc/broker.plugins"
  printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$port" 'management.tcp.ip = 127.0.0.1' "management.tcp.port = $3" >"$root/etc/broker.conf"
  : >"$1.log"
  unshare --mount --pid --fork --kill-child --mount-proc="$work/$root/proc" chroot "$root" /usr/bin/env -i \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/home LANG=C.UTF-8 RUNNING_UNDER_SYSTEMD=true RABBITMQ_NODENAME="finding-$port@localhost" \
    RABBITMQ_CONF_ENV_FILE=/etc/broker-env.conf RABBITMQ_CONFIG_FILE=/etc/broker.conf RABBITMQ_ENABLED_PLUGINS_FILE=/etc/broker.plugins \
    RABBITMQ_MNESIA_BASE=/var/lib/broker RABBITMQ_LOG_BASE=/var/log/broker RABBITMQ_LOGS=- RABBITMQ_DIST_PORT="$(free_port)" \
    ERL_EPMD_PORT="$(free_port)" ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    /usr/lib/rabbitmq/bin/rabbitmq-server >"$1.log" 2>&1 &
  brokers+=("$!")
  disown
  for _ in {1..120}; do
    if grep -q 'Time to start RabbitMQ\|Server startup complete' "$1.log"; then return; fi
    kill -0 "${brokers[-1]}" 2>/dev/null || break
    sleep 1
  done
  tail -n 5 "$1.log" >&2
  fail 'the broker did not start'
}

timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install pika==1.3.2
unpack_broker bookworm 3.10.8-1.1+deb12u1
unpack_broker forky 4.3.6-1

cat >ask.py <<'PY'
import base64, json, sys, time, urllib.request
import pika
amqp_port, http_port = sys.argv[1:]
def connect():
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(amqp_port), heartbeat=0))
admin = connect().channel()
admin.confirm_delivery()
def api(path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{http_port}/api/{path}", body and json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": "Basic " + base64.b64encode(b"guest:guest").decode()})
    return json.load(urllib.request.urlopen(request))
def ready(number):
    while admin.queue_declare("jobs", passive=True).method.message_count != number:
        time.sleep(0.1)
def consume(number, **how):
    connection = connect()
    channel, seen = connection.channel(), []
    channel.basic_qos(prefetch_count=number)
    channel.basic_consume("jobs", lambda _c, _m, _p, body: seen.append(int(body)), **how)
    while len(seen) < number:
        connection.process_data_events(1)
    channel.close()
    connection.close()
    return seen
def get(number, give_back):
    connection = connect()
    channel = connection.channel()
    for expected in range(number):
        assert int(channel.basic_get("jobs")[2]) == expected
    give_back(channel)
    ready(number)
    connection.close()
def closed(number):
    get(number, lambda channel: channel.close())
def nacked(number):
    get(number, lambda channel: channel.basic_nack(0, multiple=True, requeue=True))
def page(number):  # what the page of a queue sends for "Get messages" in its mode "Nack message requeue true"
    api("queues/%2f/jobs/get", {"count": str(number), "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": "50000"})
def after(kind, number, look):
    admin.queue_delete("jobs")
    admin.queue_declare("jobs", durable=True, arguments={"x-queue-type": kind})
    for job in range(number):
        admin.basic_publish("", "jobs", b"%d" % job)
    look(number)
    ready(number)
    order = consume(number, auto_ack=True)
    assert sorted(order) == list(range(number))
    return order
def name(order):
    number = len(order)
    if order == list(range(number)):
        return "as before"
    if order == sorted(range(number), key=lambda job: str(job + 1)):
        return "by the delivery tag as text"
    if order == [*range(33), *reversed(range(33, number))]:
        return "33 as before, the others backwards"
    if order[:33] == list(range(33)):
        return "33 as before, the others disordered"
    return "disordered"
print("RabbitMQ", api("overview")["rabbitmq_version"])
for what, look, number in (("basic.get, closed", closed, 9), ("basic.get, closed", closed, 12), ("basic.get, closed", closed, 100),
        ("basic.get, nacked", nacked, 40), ("the page", page, 12), ("the page", page, 300), ("a consumer, closed", consume, 300)):
    print(f"{number} by {what}: {name(after('quorum', number, look))}; classic: {name(after('classic', number, look))}")
print("twice the same:", after("quorum", 100, closed) == after("quorum", 100, closed))
print("12 by basic.get, closed:", *after("quorum", 12, closed))
PY
survey() { # SUITE
  local amqp_port http_port
  amqp_port=$(free_port)
  http_port=$(free_port)
  start_broker "$1" "$amqp_port" "$http_port"
  timeout 200 venv/bin/python ask.py "$amqp_port" "$http_port" | tee "$1.seen" || fail "$1: it did not come to its end"
}
survey bookworm
survey forky
cat >bookworm.expected <<'TXT'
RabbitMQ 3.10.8
9 by basic.get, closed: as before; classic: as before
12 by basic.get, closed: by the delivery tag as text; classic: as before
100 by basic.get, closed: disordered; classic: as before
40 by basic.get, nacked: 33 as before, the others backwards; classic: as before
12 by the page: by the delivery tag as text; classic: as before
300 by the page: disordered; classic: as before
300 by a consumer, closed: as before; classic: as before
twice the same: False
12 by basic.get, closed: 0 9 10 11 1 2 3 4 5 6 7 8
TXT
cat >forky.expected <<'TXT'
RabbitMQ 4.3.6
9 by basic.get, closed: as before; classic: as before
12 by basic.get, closed: by the delivery tag as text; classic: as before
100 by basic.get, closed: by the delivery tag as text; classic: as before
40 by basic.get, nacked: 33 as before, the others backwards; classic: as before
12 by the page: as before; classic: as before
300 by the page: 33 as before, the others disordered; classic: as before
300 by a consumer, closed: as before; classic: as before
twice the same: True
12 by basic.get, closed: 0 9 10 11 1 2 3 4 5 6 7 8
TXT
for suite in bookworm forky; do
  diff "$suite.expected" "$suite.seen" >difference || fail "$suite: $(cat difference)"
done
echo 'As stated: messages of a quorum queue that were looked at by basic.get come back in another order.'
