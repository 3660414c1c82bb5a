#!/usr/bin/env bash
# What was seen: RabbitMQ 3.10.8 and 4.3.6, three nodes, a quorum queue with 3 members: 400 messages ready, 100 unacked at one
# consumer. What queue.declare-ok says of messages and consumers, to a passive declaration and to a plain one with equal arguments:
#                                                                    3.10.8                       4.3.6
#   all three nodes up, asked on any                                 400/1                        400/1
#   the leader's node hangs (SIGSTOP), two are well                  0/0, after 250 ms            0/0, after 250 ms
#   the leader's node is killed, two are well                        0/0 in 2 ms, for half a second, the same
#   two killed, asked on the third, which was not the leader         0/0 in 2 ms, for as long as that lasts, the same
#     basic.get there                                                541 INTERNAL_ERROR           541 INTERNAL_ERROR
#     /api/queues there                                              without a count              without a count, "minority"
#     rabbitmqctl list_queues there                                  no line of it, ends with 0   no line of it, ends with 0
#     a classic queue whose node is down                             404 NOT_FOUND in 2 ms        404 NOT_FOUND, after 64 s
#   one of the two is back                                           all are there                all are there
#   a queue of one member, 100,000 messages, its node killed and started again, the first answers, such as
#                                                                    0/0, 84400/0, 0/0, 100000/0  0/0, 96000/0, 100000/0
#
# Expected: an error as for basic.get and the classic queue, an answer that comes when there is a leader, or the last count:
#   a passive declaration is documented as giving the number of ready messages and of consumers.
# Seen: the queue's leader is asked for 250 ms. No leader, a leader's node that is gone, an error and a timeout all become "no
#   messages, no consumers" (rabbit_quorum_queue, stat/2, "cluster might be in minority"), in a plain declare-ok. That the
#   answer was quick proves nothing either. Tried by hand: a node that hangs for longer makes it 0/0 for 61 and 72 s on 3.10.8, for 7 s
#   on 4.3.6; where the third node was the leader, it goes on to say 400/1. No issue of rabbitmq-server that tells of it was found.
# Why it matters: nothing tells "empty" from "not known". A drain script (`while depth > 0`) ends with success, an alarm for
#   "no consumers" may fire at each restart of a node, an autoscaler removes the workers of a queue that is full: KEDA's scaler reads
#   the passive declaration with `protocol: amqp`; with `http` it takes the count that is missing for 0, too (keda issue 7180).
#   What helps: basic.get, which fails where the count does not; to take a field that the management API leaves out for "not known".
# Needs: root and apt on Debian (to unpack packages of bookworm and forky into a folder), python3. 3 minutes, 150 MB.
set -euo pipefail

work=$(mktemp -d)
finish() {
  local file broker
  # Killing unshare ends its whole PID namespace. A node that was killed on the way has no file any more.
  for file in "$work"/*.pid; do
    [[ -e $file ]] || continue
    broker=$(<"$file")
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

# SUITE.NODE.run starts a program of that root as NODE, in a PID namespace of its own. All use the epmd of the suite.
script() { # SUITE NODE EPMD_PORT PROGRAM...
  local suite=$1 node=$2 epmd_port=$3 root=$work/$1/root
  shift 3
  cat >"$suite.$node.run" <<SH
echo \$\$ >"$work/$suite.$node.pid"
exec unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" /usr/bin/env -i \\
  PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/home LANG=C.UTF-8 RUNNING_UNDER_SYSTEMD=true RABBITMQ_NODENAME="$node@localhost" \\
  RABBITMQ_CONF_ENV_FILE=/etc/broker-env.conf RABBITMQ_CONFIG_FILE=/etc/$node.conf RABBITMQ_ENABLED_PLUGINS_FILE=/etc/broker.plugins \\
  RABBITMQ_MNESIA_BASE=/var/lib/broker RABBITMQ_LOG_BASE=/var/log/broker RABBITMQ_LOGS=- RABBITMQ_DIST_PORT=$(free_port) \\
  ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=127.0.0.1 \\
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' $* "\$@"
SH
}
start_cluster() { # SUITE
  local suite=$1 root=$1/root link node epmd_port amqp_port http_port
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
  python3 -c 'import secrets; print(secrets.token_hex(16))' >"$root/home/.erlang.cookie"
  chmod 400 "$root/home/.erlang.cookie"
  epmd_port=$(free_port)
  script "$suite" epmd "$epmd_port" /usr/bin/epmd
  script "$suite" ctl "$epmd_port" /usr/lib/rabbitmq/bin/rabbitmqctl
  bash "$suite.epmd.run" >"$suite.epmd.log" 2>&1 &
  disown
  : >"$suite.ports"
  for node in a b c; do
    amqp_port=$(free_port)
    http_port=$(free_port)
    printf '%s %s %s\n' "$node" "$amqp_port" "$http_port" >>"$suite.ports"
    printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$amqp_port" 'management.tcp.ip = 127.0.0.1' "management.tcp.port = $http_port" \
      'cluster_formation.peer_discovery_backend = classic_config' \
      cluster_formation.classic_config.nodes.{1=a,2=b,3=c}@localhost >"$root/etc/$node.conf"
    script "$suite" "$node" "$epmd_port" /usr/lib/rabbitmq/bin/rabbitmq-server
    : >"$suite.$node.log"
    bash "$suite.$node.run" >"$suite.$node.log" 2>&1 &
    disown
  done
  for node in a b c; do
    for _ in {1..120}; do
      if grep -q 'Time to start RabbitMQ\|Server startup complete' "$suite.$node.log"; then continue 2; fi
      sleep 1
    done
    tail -n 5 "$suite.$node.log" >&2
    fail "node $node did not start"
  done
}

timeout 240 python3 -m venv venv
timeout 240 venv/bin/pip -q --disable-pip-version-check install pika==1.3.2
unpack_broker bookworm 3.10.8-1.1+deb12u1
unpack_broker forky 4.3.6-1

# Lines that begin with a blank are figures, which differ from run to run.
cat >ask.py <<'PY'
import base64, json, os, signal, subprocess, sys, threading, time, urllib.request
import pika
suite, work = sys.argv[1], os.getcwd()
ports = {node: (int(amqp), int(http)) for node, amqp, http in map(str.split, open(f"{suite}.ports"))}
QUORUM = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
LASTING = pika.BasicProperties(delivery_mode=2)
def connect(node):
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", ports[node][0], heartbeat=0))
def api(node, path):
    request = urllib.request.Request(f"http://127.0.0.1:{ports[node][1]}/api/{path}",
        headers={"authorization": "Basic " + base64.b64encode(b"guest:guest").decode()})
    return json.load(urllib.request.urlopen(request))
def pid(node):
    return int(open(f"{suite}.{node}.pid").read())
def machine(node):  # the Erlang VM, as this PID namespace sees it
    todo = [pid(node)]
    while todo:
        process = todo.pop()
        if "beam" in os.readlink(f"/proc/{process}/exe"):
            return process
        todo += map(int, open(f"/proc/{process}/task/{process}/children").read().split())
def kill(node):
    os.kill(pid(node), signal.SIGKILL)
    os.unlink(f"{suite}.{node}.pid")
def start(node):
    subprocess.Popen(["bash", f"{suite}.{node}.run"], stdout=open(f"{suite}.{node}.log", "a"), stderr=subprocess.STDOUT)
    while True:
        try:
            return connect(node).channel()
        except pika.exceptions.AMQPError:
            time.sleep(0.02)
def look(channel, queue="jobs", **how):
    began = time.monotonic()
    answer = channel.queue_declare(queue, **(how or {"passive": True})).method
    return f"{answer.message_count}/{answer.consumer_count}", time.monotonic() - began
def poll(channel, until, queue="jobs"):  # [answer, quickest, since, last]
    began, seen = time.monotonic(), []
    while not until(seen, time.monotonic() - began):
        assert time.monotonic() - began < 60, seen
        answer, took = look(channel, queue)
        now = time.monotonic() - began
        if not seen or seen[-1][0] != answer:
            seen.append([answer, took, now, now])
        seen[-1][1], seen[-1][3] = min(seen[-1][1], took), now
    for answer, took, since, last in seen:
        print(f"  {answer} from {since:.2f} to {last:.2f} s, within {took * 1000:.0f} ms at the least")
    return seen
def answers(seen):
    return " ".join(dict.fromkeys(answer for answer, *_ in seen))
print("RabbitMQ", api("a", "overview")["rabbitmq_version"])
admin = connect("a").channel()
admin.queue_declare("classic", durable=True)
admin.queue_declare("single", durable=True, arguments={"x-queue-type": "quorum", "x-quorum-initial-group-size": 1})
admin.queue_declare("jobs", **QUORUM)
for queue, number in (("single", 100_000), ("jobs", 500)):
    for _ in range(number):
        admin.basic_publish("", queue, b"job", LASTING)
    while look(admin, queue)[0] != f"{number}/0":
        time.sleep(0.1)
consumer, taken = connect("c"), []
jobs = consumer.channel()
jobs.basic_qos(prefetch_count=100)
jobs.basic_consume("jobs", lambda *delivery: taken.append(1))
while len(taken) < 100:
    consumer.process_data_events(1)
asked = {node: connect(node).channel() for node in "abc"}
print("all up:", *(answer for node in "abc" for answer in (look(asked[node])[0], look(asked[node], **QUORUM)[0])))
assert api("b", "queues/%2f/jobs")["leader"] == "a@localhost"

os.kill(machine("a"), signal.SIGSTOP)
seen = poll(asked["b"], lambda seen, since: since > 2)
print("the leader hangs:", answers(seen), "after 250 ms" if seen[0][1] > 0.2 else "at once")
os.kill(machine("a"), signal.SIGCONT)
poll(asked["b"], lambda seen, _: seen and seen[-1][0] == "400/1")

kill("a")
seen = poll(asked["b"], lambda seen, _: len(seen) > 1 and seen[-1][0] == "400/1")
print("the leader is killed:", answers(seen[-2:]), "at once" if seen[-2][1] < 0.1 else "after a while")

again = start("a")
seen = poll(again, lambda seen, _: seen and seen[-1][0] == "100000/0", "single")
print("a single member starts:", seen[0][0], "then", seen[-1][0])

leader = api("b", "queues/%2f/jobs")["leader"].split("@")[0]
assert leader in "bc"
third = "b" if leader == "c" else "c"
kill("a")
time.sleep(1)
kill(leader)
seen = poll(asked[third], lambda seen, since: since > 10)
print("two are gone:", seen[-1][0], "at once" if seen[-1][1] < 0.1 else "after a while", "and declared", look(asked[third], **QUORUM)[0])
def refusal(question):
    try:
        return str(question(connect(third).channel()))
    except pika.exceptions.AMQPError as error:
        return str(error.args[0])
print("basic.get:", refusal(lambda channel: channel.basic_get("jobs")))
described = api(third, "queues/%2f/jobs")
print("management:", described.get("messages", "no count"), described.get("state", "no state"))
listed = subprocess.run(["bash", f"{suite}.ctl.run", "-q", "-n", f"{third}@localhost", "list_queues", "name", "messages"],
    capture_output=True, text=True, timeout=60)
os.unlink(f"{suite}.ctl.pid")
print("list_queues:", listed.returncode, "jobs" in listed.stdout)
classic = []
thread = threading.Thread(target=lambda: classic.append(refusal(lambda channel: look(channel, "classic"))), daemon=True)
thread.start()
thread.join(10)
print("classic:", *classic or ["no answer in 10 s"])
start("a")
# Those of a consumer whose node is gone are ready again.
poll(asked[third], lambda seen, _: seen and seen[-1][0] in ("400/1", "500/0"))
print("one is back: all are there")
PY
expected() { # VERSION STATE CLASSIC
  cat <<TXT
RabbitMQ $1
all up: 400/1 400/1 400/1 400/1 400/1 400/1
the leader hangs: 0/0 after 250 ms
the leader is killed: 0/0 400/1 at once
a single member starts: 0/0 then 100000/0
two are gone: 0/0 at once and declared 0/0
basic.get: 541
management: no count $2
list_queues: 0 False
classic: $3
one is back: all are there
TXT
}
expected 3.10.8 'no state' 404 >bookworm.expected
expected 4.3.6 minority 'no answer in 10 s' >forky.expected
for suite in bookworm forky; do
  start_cluster "$suite"
  PYTHONUNBUFFERED=1 timeout 240 venv/bin/python ask.py "$suite" | tee "$suite.seen" || fail "$suite: it did not come to its end"
  grep -v '^ ' "$suite.seen" | diff "$suite.expected" - >difference || fail "$suite: $(cat difference)"
done
echo 'As stated: a quorum queue that cannot be asked is declared empty and without consumers.'
