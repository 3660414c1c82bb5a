# shellcheck shell=bash
# Ports below the ephemeral range (32768) and away from the standard ones. A service has SLOTS possible blocks of
# ports; the one it uses is recorded in .services/INSTANCE/SERVICE.slot.

# slot 0 belongs to the default instance:
#   rabbitmq  17672 AMQP, 17673 management, 17674 distribution, 17675 epmd   (+10 per slot)
#   minio     17900 S3, 17901 console                                        (+10 per slot)
#   redis     17379                                                          (+10 per slot)
readonly SLOTS=20

first_port() {
  case $1 in
    rabbitmq) printf 17672 ;;
    minio) printf 17900 ;;
    redis) printf 17379 ;;
  esac
}

port_count() {
  case $1 in
    rabbitmq) printf 4 ;;
    minio) printf 2 ;;
    redis) printf 1 ;;
  esac
}

# port SERVICE [OFFSET]: the recorded port.
port() {
  local slot
  slot=$(<"$state/$1.slot")
  printf '%s' "$(($(first_port "$1") + 10 * slot + ${2:-0}))"
}

# claim_slot SERVICE: records the first free block, the recorded one first, then the instance's own, then the next.
claim_slot() {
  local name=$1 preferred slot i
  if [[ -s $state/$name.slot ]]; then
    preferred=$(<"$state/$name.slot")
  elif [[ $instance == default ]]; then
    preferred=0
  else
    preferred=$((1 + $(printf '%s' "$instance" | cksum | cut -d' ' -f1) % (SLOTS - 1)))
  fi
  for ((i = 0; i < SLOTS; i++)); do
    slot=$(((preferred + i) % SLOTS))
    if ! slot_promised "$name" "$slot" && slot_free "$name" "$slot"; then
      ((i == 0)) || say "$name: port $(($(first_port "$name") + 10 * preferred)) is taken by someone else, using $(($(first_port "$name") + 10 * slot))"
      printf '%s\n' "$slot" >"$state/$name.slot"
      return
    fi
  done
  fail "$name: all $SLOTS port blocks from $(first_port "$name") are taken" "scripts/services down in the other clones"
}

# slot_promised SERVICE SLOT: whether another instance of this clone that is up has it, even if nobody listens there just now: it is being
# restarted, or a test has killed it.
slot_promised() {
  local other
  for other in "$services_dir"/*/"$1.slot"; do
    [[ $other != "$state/$1.slot" && -s $other && -e ${other%.slot}.up && $(<"$other") == "$2" ]] && return 0
  done
  return 1
}

slot_free() {
  local base=$(($(first_port "$1") + 10 * $2)) count i
  count=$(port_count "$1")
  for ((i = 0; i < count; i++)); do
    ! port_taken "$((base + i))" || return 1
  done
}

# port_taken PORT: whether anyone listens on it, on any address.
port_taken() {
  if [[ -r /proc/net/tcp ]]; then
    [[ -n $(listener_inodes "$1") ]]
  else
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
  fi
}

# listener_inodes PORT: the kernel's socket numbers (state 0A is LISTEN).
listener_inodes() {
  local hex
  hex=$(printf '%04X' "$1")
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex\$" '$2 ~ port && $4 == "0A" { print $10 }'
}

# listens PID PORT: whether that very process holds the listening socket. An answer on the port alone proves nothing:
# the service of another clone may have won the race for it.
listens() {
  local inode
  for inode in $(listener_inodes "$2"); do
    if find "/proc/$1/fd" -lname "socket:\[$inode\]" 2>/dev/null | grep -q .; then return 0; fi
  done
  return 1
}

# exchange PORT BYTES: sends printf-escaped BYTES and prints what comes back as far as the first line or 8 bytes.
exchange() {
  # shellcheck disable=SC2016
  timeout 3 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "$2" >&3
    head -c 8 <&3 | od -An -tx1 | tr -d " \n"
  ' exchange "$1" "$2" 2>/dev/null
}

# http_status PORT PATH [USER:PASSWORD]
http_status() {
  local header=
  [[ -z ${3:-} ]] || header="Authorization: Basic $(printf '%s' "$3" | base64 | tr -d '\n')\\r\\n"
  # shellcheck disable=SC2016
  timeout 5 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "GET $2 HTTP/1.1\r\nHost: 127.0.0.1:$1\r\n$3Connection: close\r\n\r\n" >&3
    read -r _ status _ <&3 && printf %s "$status"
  ' http_status "$1" "$2" "$header" 2>/dev/null
}
