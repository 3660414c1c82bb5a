# shellcheck shell=bash
# What runs in the cluster, built from source by the Go proxy or taken from the distribution, once for each version, under .cluster/bin.

readonly KUBERNETES=v1.33.5
readonly COREDNS=v1.14.1
readonly KEDA=v2.21.0
readonly HELM=v3.22.0
readonly POLICIES=v0.8.0
# What Debian calls them. containerd, runc and iptables are used by the node, the other two become images.
readonly PACKAGES=(etcd-server containerd runc containernetworking-plugins iptables rabbitmq-server redis-server util-linux openssl python3-venv)
readonly PROGRAMS=(etcd containerd ctr containerd-shim-runc-v2 runc iptables rabbitmq-server redis-server unshare openssl)
readonly PIKA=1.3.2 PYYAML=6.0.3

# A build that others share the machine with.
go_build() { nice -n 10 env GOFLAGS='-mod=mod -buildvcs=false' CGO_ENABLED=0 go build -trimpath "$@"; }

build_all() {
  command -v go >/dev/null || fail "no Go here" "install Go 1.26 or newer"
  install_missing
  built "kubernetes-$KUBERNETES" build_kubernetes
  built "helm-$HELM" build_helm
  built "coredns-$COREDNS" build_coredns
  built "keda-$KEDA" build_keda
  built "policies-$POLICIES" build_policies
  built "python-$PIKA-$PYYAML" build_venv
  built pause build_pause
  built cores build_cores
  # As the tests have it: built by its module, or s3s-fs in its place.
  services_dir=$root/.services bin=${ANTISPOOF_SERVICES_BIN:-$root/.services/bin}
  mkdir -p "$services_dir"
  minio_install
  # shellcheck source=scripts/lib/prometheus.sh
  prometheus=$("$root/scripts/services" prometheus)
  build_antispoofd
}

# built NAME COMMAND: runs the command in a folder of its own, unless it has been run to its end before.
built() {
  local name=$1 directory=$cache/bin/$1 since
  [[ ! -e $directory/.done ]] || return 0
  since=$(now_ms)
  say "$name: building (log: .cluster/build/$name.log)"
  rm -rf "$directory" "$cache/build/$name"
  mkdir -p "$directory" "$cache/build/$name"
  # Registries have bad moments, and what was built stays in Go's cache.
  local again
  for again in 1 2 3; do
    # A condition's commands do not end at a failure by themselves (set -e): each function returns at its own.
    (cd "$cache/build/$name" && "$2" "$directory") >"$cache/build/$name.log" 2>&1 </dev/null && break
    tail_log "$cache/build/$name.log"
    ((again < 3)) || fail "$name cannot be built" "see .cluster/build/$name.log"
  done
  rm -rf "${cache:?}/build/$name"
  touch "$directory/.done"
  say "$name: built in $(took "$since")"
}

install_missing() {
  local program
  for program in "${PROGRAMS[@]}"; do
    command -v "$program" >/dev/null || { services_dir=$root/.services install_packages "${PACKAGES[@]}"; break; }
  done
  [[ -x /usr/lib/cni/ptp ]] || fail "no CNI plugins in /usr/lib/cni" "apt-get install containernetworking-plugins"
}

# k8s.io/kubernetes replaces its staging modules by folders that no module zip has; the same modules are published beside it.
build_kubernetes() {
  local out=$1 number=${KUBERNETES#v} source flags name
  source=$(module_folder "k8s.io/kubernetes@$KUBERNETES") && [[ -d $source ]] || return
  {
    printf 'module cluster\n\ngo 1.24.0\n\ngodebug default=go1.24\n\nrequire k8s.io/kubernetes %s\n\n' "$KUBERNETES"
    sed -n "s|^\t\(k8s.io/[a-z-]*\) => ./staging/.*|replace \1 => \1 v0.${number#1.}|p" "$source/go.mod"
  } >go.mod
  cp "$source/go.sum" . || return
  # Without a version the server says v0.0.0-master, and Helm refuses the chart's kubeVersion.
  for name in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $name.gitVersion=$KUBERNETES -X $name.gitMajor=1 -X $name.gitMinor=$(cut -d. -f2 <<<"$number")"
  done
  go_build -ldflags "-s -w$flags" -o "$out" k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubectl}
}

# module_folder MODULE@VERSION: where Go keeps its sources.
module_folder() {
  go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

build_helm() { nice -n 10 env GOBIN="$1" GOFLAGS=-buildvcs=false CGO_ENABLED=0 go install -trimpath "helm.sh/helm/v3/cmd/helm@$HELM"; }

build_coredns() { own_module "$1" github.com/coredns/coredns "$COREDNS" coredns=github.com/coredns/coredns; }

# With its manifests: what `kubectl apply -k config/minimal` takes.
build_keda() {
  local source
  source=$(module_folder "github.com/kedacore/keda/v2@$KEDA") && [[ -d $source ]] || return
  # The module's folder is read-only; a try before this one may have left a copy.
  rm -rf "$1/config"
  cp -r "$source/config" "$1/config" && chmod -R u+w "$1/config" || return
  own_module "$1" github.com/kedacore/keda/v2 "$KEDA" keda=github.com/kedacore/keda/v2/cmd/operator keda-adapter=github.com/kedacore/keda/v2/cmd/adapter
}

build_policies() { own_module "$1" sigs.k8s.io/kube-network-policies "$POLICIES" kube-network-policies=sigs.k8s.io/kube-network-policies/cmd; }

# own_module OUT MODULE VERSION NAME=PACKAGE...: in a module that requires it and takes over its replacements, which `go install` refuses.
own_module() {
  local out=$1 module=$2 version=$3 source pair
  shift 3
  source=$(module_folder "$module@$version") && [[ -d $source ]] || return
  {
    printf 'module cluster\n\n%s\n\nrequire %s %s\n\n' "$(grep '^go ' "$source/go.mod")" "$module" "$version"
    # One on a line, and those in a block.
    sed -n -e 's/^replace \(.* => .*\)$/replace \1/p' -e 's/^\t\([^ ]*\( v[^ ]*\)\? => .*\)$/replace \1/p' "$source/go.mod"
  } >go.mod
  cp "$source/go.sum" . || return
  for pair in "$@"; do
    go_build -ldflags "-s -w -X $module/version.Version=$version" -o "$out/${pair%%=*}" "${pair#*=}" || return
  done
}

build_venv() { python3 -m venv "$1/venv" && "$1/venv/bin/pip" install --quiet "pika==$PIKA" "PyYAML==$PYYAML"; }

# What holds a pod's namespaces: it waits, and reaps what is left to it.
build_pause() {
  cc -O2 -static -x c -o "$1/pause" - <<'C'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
    signal(SIGINT, end);
    signal(SIGTERM, end);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
C
}

# What the program goes by when it converts images: the standard library's count of processors.
build_cores() {
  printf 'fn main() { println!("{}", std::thread::available_parallelism().map_or(0, usize::from)); }\n' >cores.rs
  rustc -O -o "$1/cores" cores.rs
}

# Always by cargo, which knows whether the sources have changed.
build_antispoofd() {
  local profile=${CLUSTER_PROFILE:-release} folder
  folder=$profile
  [[ $profile != dev ]] || folder=debug
  if [[ -n ${ANTISPOOFD_BIN:-} ]]; then
    program=$ANTISPOOFD_BIN
    return
  fi
  say "antispoofd: cargo build, profile $profile (CLUSTER_PROFILE)"
  (cd "$root" && nice -n 10 cargo build --quiet --locked --profile "$profile" --bin antispoofd) || fail "antispoofd cannot be built" "cargo build --profile $profile"
  program=${CARGO_TARGET_DIR:-$root/target}/$folder/antispoofd
}
