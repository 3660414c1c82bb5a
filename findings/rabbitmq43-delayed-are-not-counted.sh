#!/usr/bin/env bash
# What was seen: RabbitMQ 4.3.6, a quorum queue with 4.3's delayed retries (x-delayed-retry-type: all), five messages
# rejected and so waiting for their next try. They are neither ready nor unacknowledged: a passive declare says 0,
# the management API says messages 5, messages_ready 0, messages_unacknowledged 0, messages_delayed 5. The limit counts
# them all the same: x-max-length 5 with reject-publish confirms one more publish and refuses the rest, at messages_ready 1.
#
# Expected: "messages" is documented as the sum of ready and unacknowledged, so that a waiting message is one of the two;
#   and a length limit as one of the messages in the ready state, so that a queue without any takes five more.
# Seen: the sum no longer holds, and a queue that looks empty by the three classic numbers refuses its producers.
#   (The one confirm is a thing of its own: under reject-publish a quorum queue takes one message beyond its limit, six
#   of twelve here, a classic queue does not.)
# Why it matters: whoever scales or alarms by ready + unacked, or by a passive declare, sees an empty queue while every
#   job fails, and scales the workers away. antispoofd waits in queues of its own, whose messages are ready ones.
# Needs: root and apt on Debian (to unpack Debian forky's packages into a folder), python3. About 1 minute, 80 MB.
set -euo pipefail

work=$(mktemp -d)
broker=
finish() {
  if [[ -n $broker ]]; then
    # Killing unshare ends its whole PID namespace, epmd with it.
    kill -KILL "$broker" 2>/dev/null || true
    for _ in {1..50}; do kill -0 "$broker" 2>/dev/null || break; sleep 0.1; done
    sleep 1
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { printf 'CHANGED: %s\n' "$*" >&2; exit 1; }
cd "$work"
((EUID == 0)) || fail 'root is needed, for chroot'

readonly VERSION=4.3.6-1
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# RabbitMQ with all that it depends on, from the mirror that this machine uses, into a root of its own.
unpack_broker() {
  local mirror package
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | head -n1)
  [[ -n $mirror ]] || fail 'apt knows no Debian mirror (apt-get update?)'
  mkdir -p lists/partial archives/partial root
  : >status
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s forky main\n' "$mirror" >sources.list
  local apt=(apt-get -qq -y -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::State::status=$work/status" -o "Dir::Cache::archives=$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o APT::Install-Recommends=false)
  timeout 200 "${apt[@]}" update >apt.log 2>&1 || fail 'the package lists cannot be had'
  timeout 400 "${apt[@]}" --download-only install "rabbitmq-server=$VERSION" bash coreutils sed grep gawk util-linux hostname \
    >>apt.log 2>&1 || fail "rabbitmq-server $VERSION cannot be had (any more)"
  for package in archives/*.deb; do dpkg-deb -x "$package" root; done
}
start_broker() {
  mkdir -p root/{dev,proc,tmp,home}
  [[ -e root/bin ]] || for package in bin sbin lib lib64; do ln -s "usr/$package" "root/$package"; done
  [[ -e root/usr/bin/sh ]] || ln -s bash root/usr/bin/sh
  [[ -e root/usr/bin/awk ]] || ln -s gawk root/usr/bin/awk
  mknod -m 666 root/dev/null c 1 3
  mknod -m 666 root/dev/urandom c 1 9
  echo '127.0.0.1 localhost' >root/etc/hosts
  echo 'root:x:0:0::/home:/bin/sh' >root/etc/passwd
  echo 'hosts: files' >root/etc/nsswitch.conf
  : >root/etc/broker-env.conf
  echo '[rabbitmq_management].' >root/etc/broker.plugins
  printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$amqp_port" 'management.tcp.ip = 127.0.0.1' "management.tcp.port = $http_port" >root/etc/broker.conf
  : >broker.log
  unshare --mount --pid --fork --kill-child --mount-proc="$work/root/proc" chroot root /usr/bin/env -i \
    PATH=/usr/sbin:/usr/bin HOME=/home LANG=C.UTF-8 RUNNING_UNDER_SYSTEMD=true RABBITMQ_NODENAME="finding-$amqp_port@localhost" \
    RABBITMQ_CONF_ENV_FILE=/etc/broker-env.conf RABBITMQ_CONFIG_FILE=/etc/broker.conf RABBITMQ_ENABLED_PLUGINS_FILE=/etc/broker.plugins \
    RABBITMQ_MNESIA_BASE=/var/lib/broker RABBITMQ_LOG_BASE=/var/log/broker RABBITMQ_LOGS=- RABBITMQ_DIST_PORT="$(free_port)" \
    ERL_EPMD_PORT="$(free_port)" ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    /usr/lib/rabbitmq/bin/rabbitmq-server >broker.log 2>&1 &
  broker=$!
  disown
  for _ in {1..120}; do
    if grep -q 'Time to start RabbitMQ' broker.log; then return; fi
    kill -0 "$broker" 2>/dev/null || break
    sleep 1
  done
  tail -n 5 broker.log >&2
  fail 'the broker did not start'
}

timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install pika==1.3.2
unpack_broker
amqp_port=$(free_port) http_port=$(free_port)
start_broker

cat >ask.py <<'PY'
import base64, json, sys, time, urllib.request
import pika
amqp, http = map(int, sys.argv[1:])
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", amqp, heartbeat=0))
channel = connection.channel()
channel.confirm_delivery()
def management(path):
    login = base64.b64encode(b"guest:guest").decode()
    call = urllib.request.Request(f"http://127.0.0.1:{http}/api/{path}", headers={"Authorization": "Basic " + login})
    return json.load(urllib.request.urlopen(call, timeout=10))
def publish(queue, times):
    confirmed = 0
    for _ in range(times):
        try:
            channel.basic_publish("", queue, b"job")
            confirmed += 1
        except pika.exceptions.NackError:
            pass
    return confirmed
def settled(queue, total):
    for _ in range(60):  # the statistics come every five seconds
        seen = management(f"queues/%2f/{queue}")
        if seen.get("messages") == total:
            break
        time.sleep(0.5)
    return {name: seen.get("messages" + name) for name in ("", "_ready", "_unacknowledged", "_delayed")}

print("RabbitMQ", management("overview")["rabbitmq_version"])
limit = {"x-max-length": 5, "x-overflow": "reject-publish"}
channel.queue_declare("classic", durable=True, arguments=limit)
channel.queue_declare("quorum", durable=True, arguments={"x-queue-type": "quorum", **limit})
for queue in ("classic", "quorum"):
    print(f"{queue}, limit 5, empty: confirms {publish(queue, 12)} of 12")
channel.queue_declare("retried", durable=True, arguments={
    "x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 120_000, "x-delayed-retry-max": 120_000, **limit})
publish("retried", 5)
for _ in range(5):
    got, _, _ = channel.basic_get("retried")
    channel.basic_reject(got.delivery_tag, requeue=True)
time.sleep(0.5)
print("five delayed: a passive declare says", channel.queue_declare("retried", passive=True).method.message_count)
print("five delayed:", settled("retried", 5))
print(f"five delayed, limit 5: confirms {publish('retried', 12)} of 12")
print("afterwards:", settled("retried", 6))
PY
timeout 150 venv/bin/python ask.py "$amqp_port" "$http_port" | tee seen
cat >expected <<'TXT'
RabbitMQ 4.3.6
classic, limit 5, empty: confirms 5 of 12
quorum, limit 5, empty: confirms 6 of 12
five delayed: a passive declare says 0
five delayed: {'': 5, '_ready': 0, '_unacknowledged': 0, '_delayed': 5}
five delayed, limit 5: confirms 1 of 12
afterwards: {'': 6, '_ready': 1, '_unacknowledged': 0, '_delayed': 5}
TXT
diff expected seen >difference || fail "$(cat difference)"
echo 'As stated: messages that wait for a delayed retry are in no count but their own, and in the limit.'
