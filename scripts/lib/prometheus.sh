# shellcheck shell=bash
# Prometheus, for the tests of the alerts and the dashboard. It is no service: a test that needs one starts it for itself and tells it what to scrape.

# The path of the program, which is fetched where the machine has none. promtool is beside it.
command_prometheus() {
  local program=${ANTISPOOF_TEST_PROMETHEUS:-}
  if [[ -n $program ]]; then
    [[ -x $program ]] || fail "ANTISPOOF_TEST_PROMETHEUS names $program, which is no program" "name one, or unset it"
  else
    program=$(command -v prometheus || true)
    if [[ -z $program ]]; then
      program=$bin/prometheus
      [[ -x $program ]] || prometheus_fetch
    fi
  fi
  printf '%s\n' "$program"
}

# Only the programs out of the distribution's package: installed, it would be a service of the machine.
prometheus_fetch() {
  local package=$services_dir/build/prometheus since
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "prometheus missing, and this is no Debian or Ubuntu" "install it, or set ANTISPOOF_TEST_PROMETHEUS to the program"
  mkdir -p "$services_dir/build" "$bin"
  lock_installs
  # Another test may have fetched it meanwhile.
  if [[ ! -x $bin/prometheus ]]; then
    since=$(now_ms)
    say "prometheus: fetching the distribution's package (log: .services/build/prometheus.log)"
    rm -rf "$package"
    mkdir -p "$package"
    prometheus_unpack "$package" </dev/null >"$services_dir/build/prometheus.log" 2>&1 ||
      { tail_log "$services_dir/build/prometheus.log"; fail "prometheus cannot be had" "apt-get install prometheus"; }
    say "prometheus: fetched in $(took "$since")"
  fi
  unlock_installs
}

prometheus_unpack() {
  local package=$1
  if ((EUID != 0)); then as_root=(sudo -n); fi
  (cd "$package" && { apt-get download prometheus || { "${as_root[@]}" apt-get update && apt-get download prometheus; }; } && dpkg-deb --extract prometheus_*.deb .) &&
    install "$package/usr/bin/promtool" "$bin/promtool" && install "$package/usr/bin/prometheus" "$bin/prometheus"
}
