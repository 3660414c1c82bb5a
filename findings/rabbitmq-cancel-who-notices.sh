#!/usr/bin/env bash
# What was seen: RabbitMQ 4.3.6; the queue that a consumer reads is deleted and made anew with a job in it. The broker tells
# the consumer by basic.cancel; connection and channel stay open. The plainest receiving loop of each client:
#   aio-pika 10.2.1 connect(), async for       waits for ever, no exception; the job is not received
#   aio-pika 10.2.1 connect_robust()           subscribes again, receives the job
#   pika 1.3.2 consume(), start_consuming()    the loop ends as if the work were done, exit code 0
#   amqp091-go 1.16.0, range over Consume()    the loop ends as if the work were done, exit code 0
#   amqplib 2.3.1                              the callback is called with null, the process goes on
#   kombu 5.7.0 (py-amqp 5.4.2)                raises ConsumerCancelled
#
# Expected: basic.cancel is a capability that each of these clients announces when it connects, so that each was thought to
#   raise it as an error, as kombu does; at the least that the two kinds of connection of one library do the same.
# Seen: as above; one of seven fails. (aio-pika writes a log line at a level of warning; nothing in the program notices.)
# Why it matters: a queue that is deleted, and by 4.3's documentation a consumer timeout, end consumers in this way. The
#   worker is then connected, healthy and idle (aio-pika), or has left with 0 so that a supervisor does not restart it.
#   antispoofd takes the end of its delivery stream for a lost session, and builds the session anew.
# Needs: root and apt on Debian (to unpack Debian forky's packages into a folder), python3, node 18+, go 1.24+. 2 minutes.
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
timeout 240 venv/bin/pip -q --disable-pip-version-check install pika==1.3.2 aio-pika==10.2.1 kombu==5.7.0 amqp==5.4.2
timeout 240 npm install --silent --no-fund --no-audit --prefix node amqplib@2.3.1 >/dev/null
mkdir go && cat >go/go.mod <<'GO'
module listen

go 1.24

require github.com/rabbitmq/amqp091-go v1.16.0
GO
cat >go/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	connection, err := amqp.Dial(os.Args[1])
	if err != nil {
		panic(err)
	}
	channel, _ := connection.Channel()
	jobs, err := channel.Consume("jobs", "", true, false, false, false, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	for job := range jobs {
		fmt.Println("got", string(job.Body))
	}
	fmt.Println("loop ended")
}
GO
(cd go && GOFLAGS=-mod=mod timeout 240 go build -o listen .)
unpack_broker
amqp_port=$(free_port)
start_broker

cat >pika_listen.py <<'PY'
import sys, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
print("listening", flush=True)
for method, _, body in channel.consume("jobs", auto_ack=True):
    print("got", body.decode(), flush=True)
print("loop ended", flush=True)
PY
cat >pika_callback_listen.py <<'PY'
import sys, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
channel.basic_consume("jobs", lambda _c, _m, _p, body: print("got", body.decode(), flush=True), auto_ack=True)
print("listening", flush=True)
channel.start_consuming()
print("loop ended", flush=True)
PY
cat >aio_listen.py <<'PY'
import asyncio, logging, sys, aio_pika
logging.disable()
async def main():
    connect = aio_pika.connect_robust if sys.argv[2:] else aio_pika.connect
    channel = await (await connect(sys.argv[1])).channel()
    queue = await channel.declare_queue("jobs", durable=True)
    print("listening", flush=True)
    async with queue.iterator(no_ack=True) as jobs:
        async for job in jobs:
            print("got", job.body.decode(), flush=True)
    print("loop ended", flush=True)
asyncio.run(main())
PY
cat >kombu_listen.py <<'PY'
import socket, sys
from kombu import Connection, Consumer, Queue
with Connection(sys.argv[1]) as connection:
    queue = Queue("jobs", durable=True, no_declare=True)
    with Consumer(connection.channel(), [queue], no_ack=True, callbacks=[lambda body, _: print("got", body, flush=True)]):
        print("listening", flush=True)
        while True:
            connection.drain_events(timeout=60)
PY
cat >node/listen.mjs <<'JS'
import amqp from 'amqplib'
const channel = await (await amqp.connect(process.argv[2])).createChannel()
await channel.consume('jobs', (job) => console.log(job === null ? 'callback(null)' : `got ${job.content}`), { noAck: true })
console.log('listening')
JS
cat >jobs.py <<'PY'
import sys, time, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
if sys.argv[2] == "make":
    channel.queue_delete("jobs")
    channel.queue_declare("jobs", durable=True)
else:
    channel.queue_delete("jobs")
    time.sleep(0.5)
    channel.queue_declare("jobs", durable=True)
    channel.basic_publish("", "jobs", b"job")
PY
url=amqp://guest:guest@127.0.0.1:$amqp_port/
# What a client says in the 12 seconds after its queue was deleted and made anew with one job in it.
ask() { # NAME COMMAND...
  local name=$1 said
  shift
  timeout 30 venv/bin/python jobs.py "$url" make
  rm -f code
  : >said
  { timeout 60 "$@" >said 2>errors & echo "$!" >pid; wait "$!" && echo 'exit 0' >code || echo "exit $?" >code; } &
  disown
  for _ in {1..100}; do grep -q listening said && break; sleep 0.1; done
  sleep 0.5
  timeout 30 venv/bin/python jobs.py "$url" replace
  for _ in {1..24}; do
    sleep 0.5
    if [[ -s code ]] || grep -q -e 'got' -e 'null' said; then break; fi
  done
  said=$(grep -v listening said | paste -sd, || true)
  [[ -n $said ]] || said=$(tail -n 1 errors | cut -d: -f1)
  printf '%s: %s, %s\n' "$name" "${said:-silence}" "$(cat code 2>/dev/null || echo 'still running')"
  kill "$(<pid)" 2>/dev/null || true
  for _ in {1..50}; do [[ -s code ]] && break; sleep 0.1; done
}
{
  ask 'pika consume()' venv/bin/python pika_listen.py "$url"
  ask 'pika start_consuming()' venv/bin/python pika_callback_listen.py "$url"
  ask 'aio-pika connect()' venv/bin/python aio_listen.py "$url"
  ask 'aio-pika connect_robust()' venv/bin/python aio_listen.py "$url" robust
  ask 'kombu' venv/bin/python kombu_listen.py "$url"
  ask 'amqplib' node node/listen.mjs "$url"
  ask 'amqp091-go' go/listen "$url"
} | tee seen
cat >expected <<'TXT'
pika consume(): loop ended, exit 0
pika start_consuming(): loop ended, exit 0
aio-pika connect(): silence, still running
aio-pika connect_robust(): got job, still running
kombu: amqp.exceptions.ConsumerCancelled, exit 1
amqplib: callback(null), still running
amqp091-go: loop ended, exit 0
TXT
diff expected seen >difference || fail "$(cat difference)"
echo 'As stated: of seven receiving loops one fails when the broker cancels it, and one waits for ever.'
