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
  install_packages chromium-headless-shell
  command -v chromium-headless-shell
}
