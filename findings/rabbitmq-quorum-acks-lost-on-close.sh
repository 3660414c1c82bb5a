#!/usr/bin/env bash
# What was seen: RabbitMQ 3.10.8 and 4.3.6. A program has 500 messages of a queue in hand, acks each, and closes its channel in
# order: channel.close-ok arrives, nothing fails. How many are in the queue again afterwards, the same on both versions:
#                                                                      classic queue   quorum queue
#   amqp091-go 1.16.0: acks, Channel.Close                                  0           467, now and then fewer or none
#   amqplib 2.3.1: acks, await channel.close()                              0           466, now and then fewer or none
#   pika 1.3.2: basic.get 500 times, ONE basic.ack of all, close()          0           467, at times none
#   amqp091-go: basic.cancel, acks, Channel.Close: the usual shutdown       0           467, often fewer, at times none
#   pika: basic.get 33 times, one basic.ack of all, close()                             0
#   amqp091-go: basic.cancel, acks, basic.get of the empty queue, Channel.Close         0
#   amqp091-go: acks, basic.cancel, Channel.Close                                       0
#   amqp091-go: acks, half a second, Channel.Close                                      0
#   pika: acks, close(), which sends basic.cancel of its own accord                     0
#
# Expected: an ack has no answer, but a channel's methods are taken in order, so that a close-ok means that the acks before it
#   are done: amqplib's maintainer recommends just that (amqp-node/amqplib issue 143). At the worst the last one is lost.
# Seen: the channel sends the quorum queue 33 settlements, and keeps the others until the queue has written those to its log
#   (rabbit_fifo_client, SOFT_LIMIT 32). If the channel closes before, they are thrown away, and their messages come back as
#   never acked. A message of basic.get is a consumer of its own: one ack of 500 of them is 500 settlements. The guides to
#   acknowledgements, channels, consumers and quorum queues say nothing of it. Issue 10327 of rabbitmq-server, open since January
#   2024, reports "some" acks that are "sometimes" ignored; it is most of them, most times, with plain clients, and on 4.3.
# Why it matters: a worker or a tool that ends in order has its finished jobs done again, by the hundred, each one delivery
#   nearer to its limit; the same program on a classic queue, or with pika, is right. What helps is a question that the queue
#   itself answers, after the last ack: basic.cancel, or basic.get when the consumer is cancelled already. A passive declare
#   or basic.qos is answered by others, and did not help. (antispoofd's worker has 16 jobs in hand unless it is told otherwise.)
# Needs: root and apt on Debian (to unpack packages of bookworm and forky into a folder), python3, node 18+, go 1.24+.
#   5 minutes, 200 MB.
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
timeout 240 npm install --silent --no-fund --no-audit --prefix node amqplib@2.3.1 >/dev/null
unpack_broker bookworm 3.10.8-1.1+deb12u1
unpack_broker forky 4.3.6-1

# queue.py fill TYPE N: a queue with N messages. queue.py count: how many are ready once they have come back.
cat >queue.py <<'PY'
import sys, time, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
if sys.argv[2] == "fill":
    channel.queue_delete("jobs")
    channel.queue_declare("jobs", durable=True, arguments={"x-queue-type": sys.argv[3]})
    for _ in range(int(sys.argv[4])):
        channel.basic_publish("", "jobs", b"job", pika.BasicProperties(delivery_mode=2))
    while channel.queue_declare("jobs", passive=True).method.message_count < int(sys.argv[4]):
        time.sleep(0.05)
else:
    # The closed channel's messages come back at once: three equal counts in a row are the answer.
    counts = []
    while len(counts) < 3 or len(set(counts[-3:])) > 1:
        time.sleep(0.3)
        counts.append(channel.queue_declare("jobs", passive=True).method.message_count)
    print(counts[-1])
PY
cat >pika_get.py <<'PY'
import sys, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
for _ in range(int(sys.argv[2])):
    assert channel.basic_get("jobs")[0]
channel.basic_ack(0, multiple=True)
channel.close()
PY
cat >pika_consume.py <<'PY'
import sys, pika
connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel, tags = connection.channel(), []
channel.basic_qos(prefetch_count=500)
channel.basic_consume("jobs", lambda _c, method, _p, _b: tags.append(method.delivery_tag))
while len(tags) < 500:
    connection.process_data_events(1)
for tag in tags:
    channel.basic_ack(tag)
channel.close()
PY
cat >node/acks.mjs <<'JS'
import amqp from 'amqplib'
const connection = await amqp.connect(process.argv[2])
const channel = await connection.createChannel()
await channel.prefetch(500)
const jobs = []
await new Promise((all) => channel.consume('jobs', (job) => jobs.push(job) === 500 && all()))
for (const job of jobs) channel.ack(job)
await channel.close()
await connection.close()
JS
mkdir go && cat >go/go.mod <<'GO'
module acks

go 1.24

require github.com/rabbitmq/amqp091-go v1.16.0
GO
cat >go/main.go <<'GO'
package main

import (
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	connection, err := amqp.Dial(os.Args[1])
	must(err)
	channel, err := connection.Channel()
	must(err)
	must(channel.Qos(500, 0, false))
	deliveries, err := channel.Consume("jobs", "worker", false, false, false, false, nil)
	must(err)
	var jobs []amqp.Delivery
	for len(jobs) < 500 {
		jobs = append(jobs, <-deliveries)
	}
	if strings.HasPrefix(os.Args[2], "cancel-first") {
		must(channel.Cancel("worker", false))
	}
	for _, job := range jobs {
		must(job.Ack(false))
	}
	switch os.Args[2] {
	case "cancel-first-get":
		_, found, err := channel.Get("jobs", false)
		must(err)
		if found {
			panic("a job that was acked came back")
		}
	case "cancel-last":
		must(channel.Cancel("worker", false))
	case "pause":
		time.Sleep(500 * time.Millisecond)
	}
	must(channel.Close())
	must(connection.Close())
}
GO
(cd go && GOFLAGS=-mod=mod timeout 240 go build -o acks .)

# Prints how many came back in each round; "some" or "none" goes into the file that is compared. It is a race, which the
# queue may win a few times in a row: where some are expected there are up to 20 rounds.
ask() { # TYPE ROUNDS N NAME COMMAND...
  local type=$1 rounds=$2 number=$3 name=$4 left=() most verdict=none
  shift 4
  if [[ $type == quorum ]] && grep -qxF "quorum, $name: some" expected; then most=20; else most=$rounds; fi
  while ((${#left[@]} < rounds)) || { [[ $verdict == none ]] && ((${#left[@]} < most)); }; do
    timeout 60 venv/bin/python queue.py "$url" fill "$type" "$number"
    timeout 60 "$@" || fail "$name: the program failed"
    left+=("$(timeout 60 venv/bin/python queue.py "$url" count)")
    if ((left[-1] > 0)); then verdict=some; fi
  done
  printf '  %s, %s: %s came back\n' "$type" "$name" "$(printf '%s, ' "${left[@]}" | sed 's/, $//')"
  echo "$type, $name: $verdict" >>"$suite.seen"
}
survey() { # SUITE VERSION
  local suite=$1 port url type rounds
  port=$(free_port)
  start_broker "$suite" "$port"
  url=amqp://guest:guest@127.0.0.1:$port/
  echo "RabbitMQ $2"
  # A classic queue, for comparison, twice each; a quorum queue five times each.
  for type in classic quorum; do
    [[ $type == classic ]] && rounds=2 || rounds=5
    ask "$type" "$rounds" 500 'Go, acks, close' go/acks "$url" close
    ask "$type" "$rounds" 500 'Node, acks, close' node node/acks.mjs "$url"
    ask "$type" "$rounds" 500 'pika, 500 basic.get, one ack, close' venv/bin/python pika_get.py "$url" 500
    ask "$type" "$rounds" 500 'Go, cancel, acks, close' go/acks "$url" cancel-first
  done
  ask quorum 5 33 'pika, 33 basic.get, one ack, close' venv/bin/python pika_get.py "$url" 33
  ask quorum 5 500 'Go, cancel, acks, basic.get, close' go/acks "$url" cancel-first-get
  ask quorum 5 500 'Go, acks, cancel, close' go/acks "$url" cancel-last
  ask quorum 5 500 'Go, acks, pause, close' go/acks "$url" pause
  ask quorum 5 500 'pika, acks, close' venv/bin/python pika_consume.py "$url"
}
cat >expected <<'TXT'
classic, Go, acks, close: none
classic, Node, acks, close: none
classic, pika, 500 basic.get, one ack, close: none
classic, Go, cancel, acks, close: none
quorum, Go, acks, close: some
quorum, Node, acks, close: some
quorum, pika, 500 basic.get, one ack, close: some
quorum, Go, cancel, acks, close: some
quorum, pika, 33 basic.get, one ack, close: none
quorum, Go, cancel, acks, basic.get, close: none
quorum, Go, acks, cancel, close: none
quorum, Go, acks, pause, close: none
quorum, pika, acks, close: none
TXT
survey bookworm 3.10.8
survey forky 4.3.6
for suite in bookworm forky; do
  diff expected "$suite.seen" >difference || fail "$suite: $(cat difference)"
done
echo 'As stated: a quorum queue forgets the acks of a channel that closes in order before the queue has written them.'
