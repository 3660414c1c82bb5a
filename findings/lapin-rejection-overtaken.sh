#!/usr/bin/env bash
# What was seen: lapin 4.12.3, RabbitMQ 4.3.6 and 3.10.8. A consumer has two messages in hand. One task begins to reject the first
# (requeue) and then acks the second with `multiple`, both before either is awaited to its end, rejection first:
#   rejection by the delivery's Acker, ack by the Channel    both calls return Ok; the first message is ACKED and gone; the
#                                                            broker closes the channel (406, unknown delivery tag)
#   rejection and ack by the Channel                         the first message is back in the queue, the channel stays open
#   rejection by the Acker, awaited, then the ack            the first message is back in the queue, the channel stays open
#
# Expected: both handles write to one channel, so that methods are on the wire in the order in which they were begun; AMQP
#   itself takes the methods of a channel in order.
# Seen: `Channel::basic_ack` puts its frame into the queue of frames at once. `Acker::ack`, `nack` and `reject` hand a command to
#   an internal task, which hands it to another, and that one puts the frame there: whatever is begun directly on the channel
#   meanwhile comes before it. Every time, on one thread. The documentation of both handles says "acknowledge"; that of
#   `Channel::basic_ack` recommends the Acker and says nothing about mixing them.
# Why it matters: to ack in batches one needs the channel (an Acker's `multiple` exists, but each delivery has its own), and to
#   reject a single message the Acker is the natural way. A consumer that does both loses the message that it wanted back, and
#   hears Ok. antispoofd counts a delivery as settled only when its rejection has been written, and never acks several across it.
# Needs: root and apt on Debian (to unpack Debian forky's packages into a folder), python3, cargo. 2 minutes.
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

mkdir -p client/src
cat >client/Cargo.toml <<'END'
[package]
name = "client"
version = "0.0.0"
edition = "2024"
[dependencies]
lapin = { version = "=4.12.3", default-features = false, features = ["tokio"] }
tokio = { version = "1", features = ["rt", "macros", "time"] }
futures-util = { version = "0.3", default-features = false, features = ["std"] }
END
cat >client/src/main.rs <<'END'
use futures_util::{StreamExt as _, future::join};
use lapin::{BasicProperties, Connection, ConnectionProperties, options::*, types::FieldTable};
use std::time::Duration;

/// How many messages are in the queue in the end, and whether the channel is still open.
async fn left(url: &str, by_acker: bool, awaited: bool) -> lapin::Result<(u32, bool)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let (channel, other) = (connection.create_channel().await?, connection.create_channel().await?);
    let queue = format!("finding-{by_acker}-{awaited}");
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    other.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await?;
    for body in [b"first" as &[u8], b"second"] {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        other.basic_publish("".into(), queue.as_str().into(), options, body, properties).await?;
    }
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
    let first = consumer.next().await.expect("the first")?;
    let second = consumer.next().await.expect("the second")?;
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;

    let requeue = BasicNackOptions { requeue: true, ..Default::default() };
    let rejection = async {
        if by_acker {
            assert!(first.acker.nack(requeue).await?, "the acker was not used before");
        } else {
            channel.basic_nack(first.delivery_tag, requeue).await?;
        }
        Ok::<_, lapin::Error>(())
    };
    let ack = channel.basic_ack(second.delivery_tag, BasicAckOptions { multiple: true });
    if awaited {
        rejection.await?;
        ack.await?;
    } else {
        // `join` polls the rejection first.
        let (rejected, acked) = join(rejection, ack).await;
        rejected?;
        acked?;
    }
    // For the broker's answer, if there is one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let passive = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
    let found = other.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?;
    Ok((found.message_count(), channel.status().connected()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> lapin::Result<()> {
    let url = std::env::args().nth(1).expect("a URL");
    for (what, by_acker, awaited) in [("acker", true, false), ("channel", false, false), ("acker-awaited", true, true)] {
        let (left, open) = left(&url, by_acker, awaited).await?;
        println!("{what}: {left} in the queue, channel open: {open}");
    }
    Ok(())
}
END
amqp_port=$(free_port)
unpack_broker
start_broker
(cd client && CARGO_TARGET_DIR="$work/target" timeout 600 cargo build --quiet) || fail 'the client cannot be built'
target/debug/client "amqp://guest:guest@127.0.0.1:$amqp_port/%2f" | tee seen
diff - seen <<'END' >&2 || fail 'not as stated'
acker: 0 in the queue, channel open: false
channel: 1 in the queue, channel open: true
acker-awaited: 1 in the queue, channel open: true
END
echo 'as stated: a rejection by the Acker is overtaken by an ack of several on its channel, and the message is gone'
