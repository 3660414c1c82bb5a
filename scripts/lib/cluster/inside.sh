#!/usr/bin/env bash
# The first process of the cluster's own namespaces (processes, mounts, network, host name): when it ends, the kernel ends every process in them and takes
# their mounts, links and packet filters away. Nothing that is done here is seen outside, but for files under .cluster/run and the run's own control groups.
#
#   inside.sh RUN_FOLDER KEEP COMMAND...
set -euo pipefail
run=$1 keep=$2
shift 2

# What unshare made private; a pod's volumes have to reach its container.
mount --make-rshared /
# Sockets, locks and logs at fixed paths (/run/containerd/s, /var/lib/cni, /var/log/containers) stay in here.
mount -t tmpfs tmpfs /run
for folder in /var/lib /var/log; do
  upper=$run/overlay$folder
  mkdir -p "$upper/upper" "$upper/work"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=$upper/upper,workdir=$upper/work" "$folder"
done
hostname cluster
ip link set lo up
# The node's address: a kubelet takes none of the loopback network, but any interface.
ip address add "$NODE_ADDRESS/32" dev lo
# Addresses of services exist in the packet filter only; this lets the node's own packets get as far as that.
ip route add 10.96.0.0/16 dev lo src "$NODE_ADDRESS"
echo 1 >/proc/sys/net/ipv4/ip_forward

status=0
"$@" || status=$?
echo "$status" >"$run/status"
if [[ $keep == keep && $status != 70 ]]; then
  # As init: what others leave behind is reaped while this waits.
  sleep infinity &
  wait
fi
exit "$status"
