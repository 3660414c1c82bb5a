#!/usr/bin/env bash
# What was seen: RabbitMQ 3.10.8 and 4.3.6; a policy for all queues, max-length 2 and one key more. Of five messages that are
# published to a quorum queue and to a classic queue of its pattern, each keeps (2: the limit is in effect, 5: it is not):
#   the other key                                 quorum   classic
#   none                                          2        2
#   queue-mode (on 3.10.8 ha-mode as well)        5        2
#   delivery-limit                                2        5
#   max-age; or queue-mode and delivery-limit     5        5
# The PUT is 201 each time. A queue that had the limit loses it when such a key is added (204). A policy of lower priority takes
# the place of the one that is not applied. The log has no word about any of it.
#
# Expected: a queue takes the keys of its policy that it has and leaves the others alone; or the broker refuses the policy, as both
#   do with a misspelt key (400), and 4.3.6 with ha-mode.
# Seen: a policy with one key that the type of the queue does not have is not applied to the queue at all. The API lists it as
#   ever; of the queue it says policy null and in effect {}. 4.3.6 takes such a policy even for quorum_queues alone, where it can
#   never apply. (RabbitMQ's pages on policies and on quorum queues do not say so. Amazon MQ's do: all of a policy or none; and
#   rabbitmq-server's issue 7350 reported it in 2023.)
# Why it matters: one policy for a vhost of both types, with a key for each, bounds neither; and who adds a delivery-limit to one
#   takes its other keys away from every classic queue. Which policy applies is to be read from the queue, not from the
#   list of policies; `antispoofd topology check --management` does.
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

# Each policy bounds its queues to 2 messages; five are published to a quorum and to a classic queue, and what is left is counted.
cat >ask.py <<'PY'
import base64, json, sys, time, urllib.error, urllib.request
import pika
amqp, http = map(int, sys.argv[1:])
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", amqp, heartbeat=0))
channel = connection.channel()
channel.confirm_delivery()
def management(path, body=None):
    headers = {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(), "Content-Type": "application/json"}
    call = urllib.request.Request(f"http://127.0.0.1:{http}/api/{path}", headers=headers, method="PUT" if body else "GET",
        data=json.dumps(body).encode() if body else None)
    try:
        with urllib.request.urlopen(call, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refused:
        return refused.code, None
def policy(name, more, case=None, to="queues", priority=0, length=2):
    body = {"pattern": f"^{case or name}[.]", "definition": {"max-length": length, **more}, "apply-to": to, "priority": priority}
    return management(f"policies/%2f/{name}", body)[0]
def declare(case):
    for kind in ("quorum", "classic"):
        channel.queue_declare(f"{case}.{kind}", durable=True, arguments={"x-queue-type": kind})
def left(queue):
    for _ in range(5):
        channel.basic_publish("", queue, b"job")
    time.sleep(1)  # a quorum queue's count is that of its last tick or command
    count = channel.queue_declare(queue, passive=True).method.message_count
    channel.queue_purge(queue)
    return count
def described(queue, policy):
    for _ in range(60):  # what the API says of a queue is some seconds old
        _, seen = management(f"queues/%2f/{queue}")
        if "effective_policy_definition" in seen and seen.get("policy", "") == policy:
            break
        time.sleep(0.5)
    return f"policy {seen.get('policy', '')}, in effect {json.dumps(seen.get('effective_policy_definition'))}"

print("RabbitMQ", management("overview")[1]["rabbitmq_version"])
cases = {"plain": {}, "queue-mode": {"queue-mode": "lazy"}, "ha-mode": {"ha-mode": "all"}, "max-age": {"max-age": "1h"},
    "delivery-limit": {"delivery-limit": 9}, "both": {"queue-mode": "lazy", "delivery-limit": 9}, "misspelt": {"queue-moed": "lazy"}}
for case, more in cases.items():
    put = policy(case, more)
    declare(case)
    print(f"max-length 2, {json.dumps(more)}: PUT {put}; of five, quorum keeps {left(case + '.quorum')}, classic {left(case + '.classic')}")
put = policy("quorum-only", {"queue-mode": "lazy"}, to="quorum_queues")
declare("quorum-only")
print(f"with queue-mode, applied to quorum_queues: PUT {put}; quorum keeps {left('quorum-only.quorum')}")
policy("below", {}, case="two", priority=0, length=3)
policy("above", {"queue-mode": "lazy"}, case="two", priority=1)
declare("two")
print(f"with queue-mode at priority 1, max-length 3 at priority 0: quorum keeps {left('two.quorum')}, classic {left('two.classic')}")
policy("later", {})
declare("later")
before = left("later.quorum")
put = policy("later", {"queue-mode": "lazy"})
print(f"queue-mode added to a policy in effect: PUT {put}; quorum keeps {before}, then {left('later.quorum')}")
for queue, found in (("plain.quorum", "plain"), ("later.quorum", None), ("later.classic", "later")):
    print(f"the API of {queue}: {described(queue, found)}")
print("the API lists:", sorted(each["name"] for each in management("policies/%2f")[1]))
PY
survey() { # SUITE
  local amqp_port http_port
  amqp_port=$(free_port) http_port=$(free_port)
  start_broker "$1" "$amqp_port" "$http_port"
  timeout 150 venv/bin/python ask.py "$amqp_port" "$http_port" | tee "$1.seen" || fail "$1: it did not come to its end"
  printf 'lines of its log that speak of a policy: %s\n' "$(grep -i polic "$1.log" | grep -vc 'boot step' || true)" | tee -a "$1.seen"
}
survey bookworm
survey forky
cat >both <<'TXT'
max-length 2, {}: PUT 201; of five, quorum keeps 2, classic 2
max-length 2, {"queue-mode": "lazy"}: PUT 201; of five, quorum keeps 5, classic 2
max-length 2, {"max-age": "1h"}: PUT 201; of five, quorum keeps 5, classic 5
max-length 2, {"delivery-limit": 9}: PUT 201; of five, quorum keeps 2, classic 5
max-length 2, {"queue-mode": "lazy", "delivery-limit": 9}: PUT 201; of five, quorum keeps 5, classic 5
max-length 2, {"queue-moed": "lazy"}: PUT 400; of five, quorum keeps 5, classic 5
with queue-mode at priority 1, max-length 3 at priority 0: quorum keeps 3, classic 2
queue-mode added to a policy in effect: PUT 204; quorum keeps 2, then 5
the API of plain.quorum: policy plain, in effect {"max-length": 2}
the API of later.quorum: policy None, in effect {}
the API of later.classic: policy later, in effect {"max-length": 2, "queue-mode": "lazy"}
lines of its log that speak of a policy: 0
TXT
cat both - >bookworm.expected <<'TXT'
RabbitMQ 3.10.8
max-length 2, {"ha-mode": "all"}: PUT 201; of five, quorum keeps 5, classic 2
with queue-mode, applied to quorum_queues: PUT 400; quorum keeps 5
the API lists: ['above', 'below', 'both', 'delivery-limit', 'ha-mode', 'later', 'max-age', 'plain', 'queue-mode']
TXT
cat both - >forky.expected <<'TXT'
RabbitMQ 4.3.6
max-length 2, {"ha-mode": "all"}: PUT 400; of five, quorum keeps 5, classic 5
with queue-mode, applied to quorum_queues: PUT 201; quorum keeps 5
the API lists: ['above', 'below', 'both', 'delivery-limit', 'later', 'max-age', 'plain', 'queue-mode', 'quorum-only']
TXT
for suite in bookworm forky; do
  diff <(sort "$suite.expected") <(sort "$suite.seen") >difference || fail "$suite: $(cat difference)"
done
echo 'As stated: a policy with one key that the type of a queue does not have is not applied to that queue at all.'
