# shellcheck shell=bash
# The services as containers of docker-compose.yml, one compose project per clone and instance.

# Three images, about 300 MB.
readonly PULL_LIMIT=600
readonly COMPOSE_WAIT=180

# docker_usable SERVICE...: an engine answers, compose is there, and their images are here or can be pulled.
docker_usable() {
  command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1 || return 1
  docker compose version >/dev/null 2>&1 || { say "docker: an engine, but no compose plugin"; return 1; }
  local name image
  for name in "$@"; do
    image=$(compose_data config --images "$(container "$name")" </dev/null) || { say "docker: compose does not read docker-compose.yml"; return 1; }
    docker image inspect "$image" >/dev/null 2>&1 && continue
    say "docker: pulling $image"
    timeout "$PULL_LIMIT" docker pull -q "$image" </dev/null >/dev/null 2>&1 ||
      { say "docker: $image cannot be pulled"; return 1; }
  done
}

container() { if [[ $1 == minio ]]; then printf object-store; else printf '%s' "$1"; fi; }

# compose ...: its talk goes to stderr, where ours goes.
compose() { compose_data "$@" >&2 </dev/null; }

compose_data() {
  env ANTISPOOF_AMQP_PORT="$(docker_port rabbitmq)" ANTISPOOF_MANAGEMENT_PORT="$(docker_port rabbitmq 1)" \
    ANTISPOOF_S3_PORT="$(docker_port minio)" ANTISPOOF_S3_CONSOLE_PORT="$(docker_port minio 1)" \
    ANTISPOOF_REDIS_PORT="$(docker_port redis)" \
    docker compose --progress quiet --project-directory "$root" --file "$root/docker-compose.yml" \
    --project-name "antispoof-$instance-$clone" "$@" 9>&-
}

# A service that was never asked for has no recorded port, but the compose file still names one.
docker_port() { if [[ -s $state/$1.slot ]]; then port "$@"; else printf '%s' "$(($(first_port "$1") + ${2:-0}))"; fi; }

container_id() {
  docker ps --quiet --filter "label=com.docker.compose.project=antispoof-$instance-$clone" \
    --filter "label=com.docker.compose.service=$(container "$1")"
}

docker_up() {
  local name since wanted=()
  since=$(now_ms)
  : >"$state/docker"
  for name in "$@"; do
    wanted+=("$(container "$name")")
    [[ -s $state/$name.slot && -n $(container_id "$name") ]] || claim_slot "$name"
  done
  docker_start "${wanted[@]}"
  say "docker: ${wanted[*]} ready in $(took "$since")"
}

docker_start() {
  compose up --detach --wait --wait-timeout "$COMPOSE_WAIT" "$@" && { redis_syncs "$@"; return; }
  compose logs --tail 20 "$@" || true
  fail "the containers did not start or become healthy (they have ${COMPOSE_WAIT}s)" "read the lines above, or ANTISPOOF_SERVICES=native"
}

# redis_syncs CONTAINER...: as natively, ANTISPOOF_SERVICES_REDIS_FSYNC decides when Redis writes; a container forgets it at each start.
redis_syncs() {
  [[ -n ${ANTISPOOF_SERVICES_REDIS_FSYNC:-} && " $* " == *" redis "* ]] || return 0
  compose exec --no-TTY redis redis-cli config set appendfsync "$ANTISPOOF_SERVICES_REDIS_FSYNC"
}

docker_down() {
  local name since
  since=$(now_ms)
  if (($# == ${#ALL_SERVICES[@]})); then
    compose down
  else
    for name in "$@"; do compose rm --stop --force "$(container "$name")"; done
  fi
  say "docker: $* stopped in $(took "$since")"
}

# Data in containers outlives `down`, and the mode that made it.
docker_clean() {
  [[ ! -e $state/docker ]] || compose down --volumes ||
    fail "the volumes of antispoof-$instance-$clone could not be deleted" "start the Docker engine and repeat"
}

docker_restart() {
  local since
  since=$(now_ms)
  compose restart "$(container "$1")"
  docker_start "$(container "$1")"
  say "$1: restarted in $(took "$since")"
}

docker_kill() {
  compose kill --signal KILL "$(container "$1")"
  say "$1: killed"
}

docker_status() {
  local id health
  id=$(container_id "$1")
  if [[ -z $id ]]; then
    printf '%-9s stopped\n' "$1"
    return 1
  fi
  health=$(docker inspect --format '{{.State.Health.Status}}' "$id")
  printf '%-9s %-10s container %s  port %s  log docker logs %s\n' "$1" "$health" "$id" "$(port "$1")" "$id"
  [[ $health == healthy ]]
}

docker_rabbitmqctl() { compose_data exec --no-TTY "$(container rabbitmq)" rabbitmqctl "$@"; }

docker_import() {
  compose_data exec --no-TTY "$(container rabbitmq)" \
    sh -c 'cat >/tmp/definitions.json && exec rabbitmqctl import_definitions /tmp/definitions.json </dev/null'
}
