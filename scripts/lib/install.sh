# shellcheck shell=bash
# What is not on the machine yet: packages of the distribution, and builds under .services/build.

readonly APT_LOCK_LIMIT=300
readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_SAVED=$POLICY.before-antispoof
# sudo, where we are not root. Global, because the EXIT trap needs it too.
as_root=()

# install_packages NAME...: with apt, and without letting any of them start as a service of the machine.
install_packages() {
  command -v apt-get >/dev/null ||
    fail "$* missing, and this is no Debian or Ubuntu" "install what is missing with your package manager, or use Docker"
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || fail "$* missing, and neither root nor sudo is to be had" "sudo apt-get install $*"
    as_root=(sudo -n)
  fi
  lock_installs
  local since
  since=$(now_ms)
  mkdir -p "$services_dir/build"
  say "$*: installing with apt-get (log: .services/build/apt.log)"
  forbid_service_start
  local ok=1
  {
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout="$APT_LOCK_LIMIT" update &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout="$APT_LOCK_LIMIT" \
        install -y --no-install-recommends "$@"
  } </dev/null >"$services_dir/build/apt.log" 2>&1 9>&- 8>&- || ok=0
  allow_service_start
  ((ok)) || { tail_log "$services_dir/build/apt.log"; fail "apt-get could not install $*" "install it by hand, or use Docker"; }
  # Not at the next boot either: the tests start their own, on their own ports.
  local name
  for name in "$@"; do "${as_root[@]}" update-rc.d "$name" disable >/dev/null 2>&1 || true; done
  unlock_installs
  say "$*: installed in $(took "$since"); not started and not enabled as a service of the machine"
}

# A package starts its service when it is configured, unless policy-rc.d answers 101.
forbid_service_start() {
  # An earlier run that was killed half way left the machine's own policy aside.
  allow_service_start
  if [[ -x $POLICY ]] && ! "$POLICY" rabbitmq-server start >/dev/null 2>&1; then return; fi
  trap allow_service_start EXIT
  [[ ! -e $POLICY ]] || "${as_root[@]}" mv "$POLICY" "$POLICY_SAVED"
  "${as_root[@]}" tee "$POLICY" >/dev/null <<'POLICY_TEXT'
#!/bin/sh
# antispoofd scripts/services: nothing is started while its packages are installed
exit 101
POLICY_TEXT
  "${as_root[@]}" chmod 755 "$POLICY"
}

allow_service_start() {
  if [[ -e $POLICY ]] && grep -q 'antispoofd scripts/services' "$POLICY"; then "${as_root[@]}" rm -f "$POLICY"; fi
  if [[ -e $POLICY_SAVED ]]; then "${as_root[@]}" mv "$POLICY_SAVED" "$POLICY"; fi
  trap - EXIT
}

# in_build_dir NAME COMMAND...: with a limit, its output in .services/build/NAME.log.
in_build_dir() {
  local log=$services_dir/build/$1.log scratch=$services_dir/build/scratch
  shift
  mkdir -p "$scratch"
  # A user without a home has no module or crate cache either.
  local caches=()
  if [[ ! -w ${HOME:-/nonexistent} ]]; then
    caches=(HOME="$scratch" GOPATH="$scratch/go" GOCACHE="$scratch/go-build" CARGO_HOME="$scratch/cargo")
  fi
  (cd "$scratch" && timeout "$BUILD_LIMIT" env "${caches[@]}" "$@") </dev/null >"$log" 2>&1 9>&- 8>&-
}

# All instances of a clone share what is built, so they take turns.
lock_installs() {
  command -v flock >/dev/null || return 0
  exec 8>"$services_dir/install.lock"
  flock -w "$LOCK_LIMIT" 8 || fail "another installation held the lock for ${LOCK_LIMIT}s" "fuser $services_dir/install.lock"
}

unlock_installs() { exec 8>&-; }
