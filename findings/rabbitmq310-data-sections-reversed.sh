#!/usr/bin/env bash
# What was seen: RabbitMQ 3.10.8 with its plugin rabbitmq_amqp1_0, and 4.3.6; one AMQP 1.0 message from rhea 3.0.5 whose body
# is {"a":1} in one, two or three data sections, content type application/json. An AMQP 0-9-1 consumer receives, from 3.10.8:
#   {"a":1}          {"a":1}                                                    type binary
#   {"a": | 1}       00 53 75 a0 02 1} 00 53 75 a0 05 {"a":                     type amqp-1.0
#   {"a": | 1 | }    00 53 75 a0 01 } 00 53 75 a0 01 1 00 53 75 a0 05 {"a":     type amqp-1.0
# From 4.3.6 it receives {"a":1} in all three cases, without a type. The sender has set no type in any of them.
#
# Expected: AMQP 1.0 lets a body be "one or more data sections", in an order that the sender gives. Joined in it they are
#   {"a":1}, as from one section. At worst the plugin refuses what it cannot convert.
# Seen: it is accepted, and arrives with the sections backwards, each behind the five bytes that mark it in AMQP 1.0. The only
#   sign is the property `type`.
# Why it matters: Debian 12's broker is this one. Nothing fails at the sender, who was told `accepted`, and nothing in the
#   body says that it is backwards: what is no JSON, an image for instance, cannot be told. antispoofd takes the marks away
#   and puts the pieces together in the order that they have; if that is not JSON and the reverse is, in reverse.
# Needs: root and apt on Debian (to unpack packages of bookworm and forky into a folder), python3, node 18+. 1 minute, 150 MB.
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
start_broker() { # SUITE PLUGINS PORT
  local root=$1/root port=$3 link
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
  echo "[$2]." >"$root/etc/broker.plugins"
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

timeout 240 npm install --silent --no-fund --no-audit --prefix node rhea@3.0.5 amqplib@2.3.1 >/dev/null
unpack_broker bookworm 3.10.8-1.1+deb12u1
unpack_broker forky 4.3.6-1

# Sends each body over AMQP 1.0, waits until it is accepted, and reads it over 0-9-1.
cat >node/sections.mjs <<'JS'
import amqp from 'amqplib'
import rhea from 'rhea'
const [port, address] = process.argv.slice(2)
const reading = await amqp.connect(`amqp://guest:guest@127.0.0.1:${port}`)
const channel = await reading.createChannel()
await channel.assertQueue('jobs', { durable: true })
const connection = rhea.create_container().connect({ host: '127.0.0.1', port: Number(port), username: 'guest', password: 'guest', reconnect: false })
const sender = connection.open_sender(address)
await new Promise((ready) => sender.once('sendable', ready))
for (const parts of [['{"a":1}'], ['{"a":', '1}'], ['{"a":', '1', '}']]) {
  const accepted = new Promise((settled) => sender.once('accepted', settled))
  sender.send({ content_type: 'application/json', body: rhea.message.data_sections(parts.map((part) => Buffer.from(part))) })
  await accepted
  let job = false
  while (!job) job = await channel.get('jobs', { noAck: true })
  const shown = job.content.toString('latin1').replace(/[^ -~]/g, (mark) => `\\x${mark.charCodeAt(0).toString(16).padStart(2, '0')}`)
  console.log(`${parts.join(' | ')}  ->  ${shown}  type ${job.properties.type}`)
}
process.exit()
JS
survey() { # NAME SUITE PLUGINS ADDRESS
  local port
  port=$(free_port)
  start_broker "$2" "$3" "$port"
  timeout 60 node node/sections.mjs "$port" "$4" >"$2.seen" || fail "$1: not accepted, or not received"
  sed "s/^/$1: /" "$2.seen"
}
survey 3.10.8 bookworm rabbitmq_amqp1_0 /amq/queue/jobs
survey 4.3.6 forky '' /queues/jobs
cat >bookworm.expected <<'TXT'
{"a":1}  ->  {"a":1}  type binary
{"a": | 1}  ->  \x00Su\xa0\x021}\x00Su\xa0\x05{"a":  type amqp-1.0
{"a": | 1 | }  ->  \x00Su\xa0\x01}\x00Su\xa0\x011\x00Su\xa0\x05{"a":  type amqp-1.0
TXT
cat >forky.expected <<'TXT'
{"a":1}  ->  {"a":1}  type undefined
{"a": | 1}  ->  {"a":1}  type undefined
{"a": | 1 | }  ->  {"a":1}  type undefined
TXT
diff bookworm.expected bookworm.seen >difference || fail "3.10.8: $(cat difference)"
diff forky.expected forky.seen >difference || fail "4.3.6: $(cat difference)"
echo 'As stated: RabbitMQ 3.10.8 puts the data sections of a message together backwards, 4.3.6 does not.'
