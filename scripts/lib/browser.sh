# shellcheck shell=bash
# A browser without a window, for the test of the status page.

# The path of the program, which is installed where the machine has none: it needs libraries that only a package manager finds.
command_browser() {
  local program=${ANTISPOOF_TEST_BROWSER:-} name
  if [[ -n $program ]]; then
    [[ -x $program ]] || fail "ANTISPOOF_TEST_BROWSER names $program, which is no program" "name one, or unset it"
    printf '%s\n' "$program"
    return
  fi
  for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    command -v "$name" && return
  done
  command -v apt-get >/dev/null ||
    fail "no browser, and this is no Debian or Ubuntu" "install chromium, or set ANTISPOOF_TEST_BROWSER to the program"
  local log=$services_dir/build/browser.log since
  mkdir -p "$services_dir/build"
  lock_installs
  if ! command -v chromium-headless-shell >/dev/null; then
    since=$(now_ms)
    say "browser: installing chromium-headless-shell (log: .services/build/browser.log)"
    if ((EUID != 0)); then as_root=(sudo -n); fi
    browser_install </dev/null >"$log" 2>&1 || { tail_log "$log"; fail "no browser can be had" "apt-get install chromium-headless-shell"; }
    say "browser: installed in $(took "$since")"
  fi
  unlock_installs
  command -v chromium-headless-shell
}

browser_install() {
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium-headless-shell)
  "${install[@]}" || { "${as_root[@]}" apt-get update && "${install[@]}"; }
}
