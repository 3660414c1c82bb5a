#!/usr/bin/env bash
# What was seen: RabbitMQ 4.3.6, jobs sent over AMQP 1.0 by rhea 3.0.5 and python-qpid-proton 0.40.0, the JSON given as each
# library's first example gives a body, content type application/json. An AMQP 0-9-1 consumer receives, accepted and confirmed:
#   rhea   body: '{"a":1}'        00 53 77 a1 07 {"a":1}      type amqp-1.0
#   rhea   body: a Buffer         00 53 77 a0 07 {"a":1}      type amqp-1.0
#   proton Message(body="...")    00 53 77 a1 07 {"a":1}      type amqp-1.0
#   proton Message(body=b"...")   00 53 77 a0 07 {"a":1}      type amqp-1.0
#   rhea   data_section(...), proton inferred=True   {"a":1}  no type
# The content type is application/json in all six.
#
# Expected: RabbitMQ converts between its protocols; a body of text or bytes that is declared application/json arrives
#   as those bytes, as it does from STOMP, MQTT and from an AMQP 1.0 data section.
# Seen: a value section is handed on as it is encoded, five bytes of AMQP 1.0 type marks before the text. The only sign
#   is the property `type`, which the sender did not set. Bytes given to rhea and proton are a value section as well.
# Why it matters: nothing fails at the sender. A worker on 0-9-1 sees "not JSON at column 1" for each job of such a
#   producer. antispoofd did; whoever meets `type: amqp-1.0` should strip the marks, or name the sender's remedy.
# Needs: root and apt on Debian (to unpack Debian forky's packages into a folder), python3, node 18+. 1 minute, 80 MB.
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
  echo '[].' >root/etc/broker.plugins
  echo "listeners.tcp.1 = 127.0.0.1:$amqp_port" >root/etc/broker.conf
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
timeout 240 venv/bin/pip -q --disable-pip-version-check install pika==1.3.2 python-qpid-proton==0.40.0
timeout 240 npm install --silent --no-fund --no-audit --prefix node rhea@3.0.5 >/dev/null
unpack_broker
amqp_port=$(free_port)
start_broker

cat >jobs.py <<'PY'
import sys, pika
channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1]))).channel()
if sys.argv[2] == "make":
    channel.queue_declare("jobs", durable=True, arguments={"x-queue-type": "quorum"})
else:
    while (got := channel.basic_get("jobs", auto_ack=True))[0]:
        properties, body = got[1:]
        print(properties.message_id, "|", properties.content_type, "|", properties.type, "|", body[:-7].hex(), body[-7:].decode())
PY
cat >send.py <<'PY'
import sys
from proton import Message
from proton.utils import BlockingConnection
connection = BlockingConnection(f"amqp://guest:guest@127.0.0.1:{sys.argv[1]}", timeout=10, allowed_mechs="PLAIN", allow_insecure_mechs=True)
sender = connection.create_sender("/queues/jobs")
for name, body, inferred in (("text", '{"a":1}', False), ("bytes", b'{"a":1}', False), ("data", b'{"a":1}', True)):
    sender.send(Message(id=f"proton-{name}", content_type="application/json", body=body, inferred=inferred))
connection.close()
PY
cat >node/send.mjs <<'JS'
import rhea from 'rhea'
const json = '{"a":1}'
const connection = rhea.create_container().connect({ host: '127.0.0.1', port: Number(process.argv[2]), username: 'guest', password: 'guest', reconnect: false })
const sender = connection.open_sender('/queues/jobs')
await new Promise((ready) => sender.once('sendable', ready))
for (const [name, body] of [['text', json], ['bytes', Buffer.from(json)], ['data', rhea.message.data_section(Buffer.from(json))]]) {
  const accepted = new Promise((settled) => sender.once('accepted', settled))
  sender.send({ message_id: `rhea-${name}`, content_type: 'application/json', body })
  await accepted
}
process.exit()
JS
timeout 30 venv/bin/python jobs.py "$amqp_port" make
timeout 30 node node/send.mjs "$amqp_port" || fail 'rhea: not accepted'
timeout 30 venv/bin/python send.py "$amqp_port" || fail 'proton: not accepted'
timeout 30 venv/bin/python jobs.py "$amqp_port" read | tee seen
cat >expected <<'TXT'
rhea-text | application/json | amqp-1.0 | 005377a107 {"a":1}
rhea-bytes | application/json | amqp-1.0 | 005377a007 {"a":1}
rhea-data | application/json | None |  {"a":1}
proton-text | application/json | amqp-1.0 | 005377a107 {"a":1}
proton-bytes | application/json | amqp-1.0 | 005377a007 {"a":1}
proton-data | application/json | None |  {"a":1}
TXT
diff expected seen >difference || fail "$(cat difference)"
echo 'As stated: what rhea and proton send by default reaches 0-9-1 with AMQP 1.0 type marks in its body.'
