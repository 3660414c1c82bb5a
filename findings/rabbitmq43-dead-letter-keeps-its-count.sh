#!/usr/bin/env bash
# What was seen: RabbitMQ 3.10.8 and 4.3.6; quorum queue a (x-delivery-limit 2) dead-letters to quorum queue b (x-delivery-limit 3).
# Each delivery from b is lost with its channel, until b gives the job up. How many there are, and x-delivery-count at the first:
#   the job left a because it            3.10.8         4.3.6
#   expired unread                       4, from 0      4, from 0
#   was lost once, then expired          4, from 0      3, from 1
#   was nacked (basic.nack)              4, from 0      4, from 0
#   was rejected (basic.reject)          4, from 0      3, from 1
#   was lost once, then rejected         4, from 0      2, from 2
#   was lost three times (the limit)     4, from 0      1, from 3
# A job that a worker rejects into a queue where it expires and comes back, 20 times, has count 0 at each delivery on 3.10.8; on
# 4.3.6 it has 19 at the twentieth, and one lost delivery after it deletes the job: it is over the limit of 20 that every quorum
# queue has by default, dead-lettered as such, expires, and is then dropped as a cycle without a rejection.
#
# Expected: the limit is documented as one of the queue, on the redeliveries from it; a dead letter is published anew (x-death
#   tells its past), and begins at 0 and not redelivered, as on 3.10.8. basic.reject is basic.nack for one message.
# Seen: the count goes along, a basic.reject counts as a failed delivery, and the next queue sets its limit against the sum. What
#   comes in with its limit used up is delivered once; only when that delivery is lost is it noticed. (The documentation of
#   dead-lettering does not tell; 4.3.0's notes mention that the acquired-count, a number beside this one, is kept.)
# Why it matters: the queue that is to hold failed jobs safely gives its readers one try; and a loop of retries by basic.reject
#   loses a job when a worker dies with it after 20 of them, with one line in the broker's log. antispoofd publishes its retries
#   as new messages, and copies what it finds in its dead queue before the limit there is used up.
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
start_broker() { # SUITE PORT
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
  echo "[]." >"$root/etc/broker.plugins"
  echo "listeners.tcp.1 = 127.0.0.1:$port" >"$root/etc/broker.conf"
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

# A job leaves queue a (limit 2) for queue b (limit 3) for each reason; then its deliveries from b are lost until b gives it up to c.
cat >ask.py <<'PY'
import sys, time
import pika
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1]), heartbeat=0))
admin = connection.channel()
admin.confirm_delivery()
def get(channel, queue):
    for _ in range(60):
        got, properties, _ = channel.basic_get(queue)
        if got:
            return got, properties.headers or {}
        time.sleep(0.05)
    return None, {}
def count(got, headers):
    return f"{'redelivered' if got.redelivered else 'new'} {int(headers.get('x-delivery-count', 0))}"
def lose(queue):  # the channel ends with the message in hand
    channel = connection.channel()
    got, headers = get(channel, queue)
    channel.close()
    return got and count(got, headers)
def reject(queue, how=admin.basic_reject):
    got, headers = get(admin, queue)
    how(got.delivery_tag, requeue=False)
    return count(got, headers)
def nack(queue):
    return reject(queue, admin.basic_nack)
def quorum(queue, target, more):
    admin.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target, **more})
def case(name, leave, more={}):
    a, b, c = (f"{name}.{place}" for place in "abc")
    quorum(a, b, {"x-delivery-limit": 2, **more})
    quorum(b, c, {"x-delivery-limit": 3})
    admin.queue_declare(c, durable=True)
    admin.basic_publish("", a, b"job")
    for step in leave:
        step(a)
    seen = list(iter(lambda: lose(b), None))
    after = admin.queue_declare(c, passive=True).method.message_count
    print(f"{name}: {len(seen)} from b ({', '.join(seen)}), then {after} in c")
case("expired unread", [], {"x-message-ttl": 200})
case("lost once, expired", [lose], {"x-message-ttl": 2000})
case("nacked", [nack])
case("rejected", [reject])
case("lost once, rejected", [lose, reject])
case("lost three times: at the limit", [lose, lose, lose])
case("the same, at least once", [lose, lose, lose], {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"})

# The usual loop for retries: rejected into a queue where it expires, and back. No delivery is lost in it but the last.
quorum("work", "wait", {})
quorum("wait", "work", {"x-message-ttl": 100})
admin.basic_publish("", "work", b"job")
rounds = [reject("work") for _ in range(20)]
print(f"retry loop: {', '.join(rounds[:3])} ... {rounds[-1]}")
lose("work")
back = lose("work")
print("  after one lost delivery:", f"back in work, {back}" if back else "gone; %d in work, %d in wait" %
    tuple(admin.queue_declare(queue, passive=True).method.message_count for queue in ("work", "wait")))
PY
survey() { # SUITE VERSION
  local port
  port=$(free_port)
  start_broker "$1" "$port"
  echo "RabbitMQ $2" | tee "$1.seen"
  timeout 150 venv/bin/python ask.py "$port" | tee -a "$1.seen" || fail "$2: it did not come to its end"
  printf 'lines of its log that speak of a cycle: %s\n' "$(grep -c 'dead letter cycle' "$1.log" || true)" | tee -a "$1.seen"
}
survey bookworm 3.10.8
survey forky 4.3.6
four='new 0, redelivered 1, redelivered 2, redelivered 3'
cat >bookworm.expected <<TXT
RabbitMQ 3.10.8
expired unread: 4 from b ($four), then 1 in c
lost once, expired: 4 from b ($four), then 1 in c
nacked: 4 from b ($four), then 1 in c
rejected: 4 from b ($four), then 1 in c
lost once, rejected: 4 from b ($four), then 1 in c
lost three times: at the limit: 4 from b ($four), then 1 in c
the same, at least once: 4 from b ($four), then 1 in c
retry loop: new 0, new 0, new 0 ... new 0
  after one lost delivery: back in work, redelivered 1
lines of its log that speak of a cycle: 0
TXT
cat >forky.expected <<TXT
RabbitMQ 4.3.6
expired unread: 4 from b ($four), then 1 in c
lost once, expired: 3 from b (redelivered 1, redelivered 2, redelivered 3), then 1 in c
nacked: 4 from b ($four), then 1 in c
rejected: 3 from b (redelivered 1, redelivered 2, redelivered 3), then 1 in c
lost once, rejected: 2 from b (redelivered 2, redelivered 3), then 1 in c
lost three times: at the limit: 1 from b (redelivered 3), then 1 in c
the same, at least once: 1 from b (redelivered 3), then 1 in c
retry loop: new 0, redelivered 1, redelivered 2 ... redelivered 19
  after one lost delivery: gone; 0 in work, 0 in wait
lines of its log that speak of a cycle: 1
TXT
for suite in bookworm forky; do
  diff "$suite.expected" "$suite.seen" >difference || fail "$suite: $(cat difference)"
done
echo 'As stated: a dead letter keeps its delivery count on RabbitMQ 4.3.6, and begins anew on 3.10.8.'
