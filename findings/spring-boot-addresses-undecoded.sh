#!/usr/bin/env bash
# What was seen: Spring Boot 3.5.8 (amqp-client 5.25.0), the same URI given to com.rabbitmq's ConnectionFactory.setUri and to
# `spring.rabbitmq.addresses`; the user, password and vhost that each takes from it:
#   amqp://guest:guest@h/%2f      setUri: vhost /               Boot: vhost %2f
#   amqp://guest:guest@h/         setUri: the empty vhost       Boot: vhost /
#   amqp://guest:guest@h/a%2fb    setUri: vhost a/b             Boot: vhost a%2fb
#   amqp://us%40er:p%2fw@h        setUri: us@er, p/w            Boot: us%40er, p%2fw
# With the first, against RabbitMQ 3.10.8: setUri connects; Boot's listener never does (530, vhost %2f not found).
#
# Expected: Boot hands the URI to the client library, or decodes it as the library does: percent-decoding is in RFC 3986 and
#   in RabbitMQ's URI specification, and one URI serves all of a host's programs. A vhost that is not there ends the program.
# Seen: Boot splits the text itself and decodes nothing. The two agree on the default vhost only where no path is written:
#   `/%2f` is right for the one, `/` for the other. `spring.rabbitmq.virtual-host=/` does not help, the address goes before it. The
#   program starts, says so, and asks again every five seconds for as long as it was watched.
# Why it matters: the URI that other clients connect with leaves a Spring worker started and idle while its queue grows; a
#   password with an encoded character is another password. antispoofd decodes all three and refuses the ending slash, naming
#   what to write; its examples for Spring set the decoded vhost on the factory themselves.
# Needs: root and apt on Debian (to unpack packages of bookworm into a folder), java 17+, mvn, python3. 2 minutes, 150 MB.
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
    /usr/lib/rabbitmq/bin/rabbitmq-server >>"$1.log" 2>&1 &
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

mkdir -p program/src/main/java
cat >program/pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>org.springframework.boot</groupId>
    <artifactId>spring-boot-starter-parent</artifactId>
    <version>3.5.8</version>
  </parent>
  <groupId>finding</groupId>
  <artifactId>vhost</artifactId>
  <version>1</version>
  <properties>
    <java.version>17</java.version>
  </properties>
  <dependencies>
    <dependency>
      <groupId>org.springframework.boot</groupId>
      <artifactId>spring-boot-starter-amqp</artifactId>
    </dependency>
  </dependencies>
</project>
XML
cat >program/src/main/java/Vhost.java <<'JAVA'
import com.rabbitmq.client.ConnectionFactory;
import java.util.List;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.autoconfigure.amqp.RabbitProperties;

public class Vhost {
  public static void main(String[] arguments) throws Exception {
    switch (arguments[0]) {
      case "parse" -> parse(List.of("amqp://guest:guest@h/%2f", "amqp://guest:guest@h/", "amqp://guest:guest@h/a%2fb", "amqp://us%40er:p%2fw@h"));
      case "client" -> {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(arguments[1]);
        try (var connection = factory.newConnection(); var channel = connection.createChannel()) {
          channel.queueDeclare("jobs", true, false, false, null);
          channel.basicPublish("", "jobs", null, "job".getBytes());
          channel.queueDeclarePassive("jobs");
        }
        System.out.println("client: connected, a job sent");
      }
      default -> {
        SpringApplication.run(Listening.class, "--spring.rabbitmq.addresses=" + arguments[1], "--spring.rabbitmq.virtual-host=/");
        System.out.println("boot: started");
      }
    }
  }

  static void parse(List<String> uris) throws Exception {
    for (String uri : uris) {
      ConnectionFactory client = new ConnectionFactory();
      client.setUri(uri);
      RabbitProperties boot = new RabbitProperties();
      boot.setVirtualHost("/");
      boot.setAddresses(List.of(uri));
      System.out.printf("%s  client: %s %s [%s]  boot: %s %s [%s]%n", uri, client.getUsername(), client.getPassword(), client.getVirtualHost(),
          boot.determineUsername(), boot.determinePassword(), boot.determineVirtualHost());
    }
  }

  @EnableAutoConfiguration
  public static class Listening {
    @RabbitListener(queues = "jobs")
    public void take(byte[] job) {
      System.out.println("boot: got " + new String(job));
    }
  }
}
JAVA
# A local repository of its own, so that the jars lie in the folder that is removed.
(cd program && timeout 400 mvn -q -B -Dmaven.repo.local="$work/maven" compile \
  org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath -Dmdep.outputFile=classpath) >maven.log 2>&1 || fail "$(tail -n 3 maven.log)"
run() { exec java -Xmx256m -Djava.io.tmpdir="$work" -cp "$work/program/target/classes:$(<program/classpath)" Vhost "$@"; }

unpack_broker bookworm 3.10.8-1.1+deb12u1
port=$(free_port)
start_broker bookworm '' "$port"

(run parse) 2>java.log | tee seen
(run client "amqp://guest:guest@127.0.0.1:$port/%2f") 2>>java.log | tee -a seen
# Two listeners for 22 seconds each: with the vhost that Boot takes undecoded, and without a path.
listen() { # PATH
  run boot "amqp://guest:guest@127.0.0.1:$port$1" >boot.log 2>&1 &
  local listener=$!
  disown
  for _ in {1..120}; do
    if grep -q 'boot: started' boot.log; then break; fi
    kill -0 "$listener" 2>/dev/null || break
    sleep 0.5
  done
  for _ in {1..44}; do
    if grep -q 'boot: got' boot.log; then break; fi
    sleep 0.5
  done
  local refused=few
  (($(grep -c 'vhost %2f not found' bookworm.log) < 3)) || refused='again and again'
  grep -q 'vhost %2f not found' bookworm.log || refused=never
  local running='ended'
  if kill -0 "$listener" 2>/dev/null; then running=running; fi
  printf 'boot, path "%s": %s, %s, %s; vhost %%2f refused: %s\n' "$1" "$(grep -o 'boot: started' boot.log || echo 'not started')" \
    "$running" "$(grep -o 'boot: got job' boot.log || echo 'no job')" "$refused"
  kill "$listener" 2>/dev/null || true
  for _ in {1..50}; do kill -0 "$listener" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$listener" 2>/dev/null || true
}
listen /%2f | tee -a seen
: >bookworm.log
listen '' | tee -a seen
cat >expected <<'TXT'
amqp://guest:guest@h/%2f  client: guest guest [/]  boot: guest guest [%2f]
amqp://guest:guest@h/  client: guest guest []  boot: guest guest [/]
amqp://guest:guest@h/a%2fb  client: guest guest [a/b]  boot: guest guest [a%2fb]
amqp://us%40er:p%2fw@h  client: us@er p/w [/]  boot: us%40er p%2fw [/]
client: connected, a job sent
boot, path "/%2f": boot: started, running, no job; vhost %2f refused: again and again
boot, path "": boot: started, running, boot: got job; vhost %2f refused: never
TXT
diff expected seen >difference || fail "$(cat difference)"
echo 'As stated: Spring Boot takes user, password and vhost of an address undecoded, and asks for vhost %2f again and again.'
