# shellcheck shell=bash
# The end of a cluster. It ends one process, the one that was recorded, and removes two things by their own names: .cluster/run and the control groups of this clone.

# Control groups outlive processes and namespaces; those of this clone have its name.
name_control_group() {
  control_group=antispoof-cluster-$(printf '%s' "$root" | cksum | cut -d' ' -f1)
}

# record PID: who holds the namespaces, as scripts/lib/process.sh knows a process.
record() { printf '%s %s\n' "$1" "$(start_time "$1")" >"$cache/holder"; }

clean() {
  trap - EXIT INT TERM HUP
  local pid
  if pid=$(running "$cache/holder"); then
    # unshare ends with its child: --kill-child. The kernel then ends all that is in the child's namespace.
    # (Where it is this script's own child, bash would remark on it.)
    { kill -KILL "$pid" && wait "$pid"; } 2>/dev/null || true
    wait_until 30 gone "$cache/holder" || say "pid $pid does not end"
  fi
  rm -f "$cache/holder"
  if [[ -e $cache/link ]]; then
    # It goes with the namespace at its other end, some time after that.
    ip link delete "$(<"$cache/link")" 2>/dev/null || true
    rm -f "$cache/link"
  fi
  remove_control_groups
  [[ ! -e $run ]] || remove_run
}

# A pod's processes may take a moment to go after the first process of their namespace.
remove_control_groups() {
  local base
  name_control_group
  for base in /sys/fs/cgroup/"$control_group" /sys/fs/cgroup/*/"$control_group"; do
    [[ -d $base ]] || continue
    wait_until 15 empty_tree "$base" || say "control group $base does not go"
  done
}

# Deepest first; a group with a process in it stays.
empty_tree() {
  [[ -d $1 ]] || return 0
  find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
  [[ ! -d $1 ]]
}

# Not while anything is mounted there: a volume of a pod may be a folder of the machine. (All mounts were made in namespaces that are gone.)
remove_run() {
  if grep -qF " $run/" /proc/self/mountinfo; then
    say "$run has mounts in it and is left as it is"
    return
  fi
  if [[ -d $run/logs ]]; then
    rm -rf "$cache/last-logs"
    mv "$run/logs" "$cache/last-logs"
  fi
  rm -rf --one-file-system "$run"
}

# connect: the node's address, from outside: a pair of links that goes with the namespace.
connect() {
  local pid link
  pid=$(inner)
  link=as$(printf '%s' "$root" | cksum | cut -d' ' -f1)
  printf '%s\n' "$link" >"$cache/link"
  ip link add "$link" type veth peer name outside netns "$pid"
  ip address add 10.213.1.1/30 dev "$link"
  ip link set "$link" up
  nsenter -t "$pid" -n sh -c 'ip address add 10.213.1.2/30 dev outside && ip link set outside up'
  ip route add "$NODE_ADDRESS/32" via 10.213.1.2
  say "the cluster is up: export KUBECONFIG=$run/admin.kubeconfig (or scripts/cluster kubectl …); scripts/cluster down ends it"
}

# The child of the holder: the first process of the namespaces.
inner() {
  local pid
  pid=$(running "$cache/holder") || fail "no cluster is up" "make cluster ARGS=--keep"
  cat "/proc/$pid/task/$pid/children" | tr -d ' '
}

# enter PROGRAM ARGUMENT...
enter() {
  local program=$cache/bin/kubernetes-$KUBERNETES/kubectl pid
  [[ $1 != helm ]] || program=$cache/bin/helm-$HELM/helm
  shift
  pid=$(inner)
  exec nsenter -t "$pid" -m -n -p env KUBECONFIG="$run/admin.kubeconfig" "$program" "$@"
}
