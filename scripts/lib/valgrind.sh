# shellcheck shell=bash
# valgrind, for `scripts/instructions`.

# The path of the program, which is installed where the machine has none.
command_valgrind() {
  command -v valgrind && return
  mkdir -p "$services_dir"
  install_packages valgrind
  command -v valgrind
}
