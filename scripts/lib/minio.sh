# shellcheck shell=bash
# The object store: MinIO built from its module, or s3s-fs where MinIO cannot be had.
#
# MinIO publishes no binaries and no images since October 2025. This is the release of its last image, the one in docker-compose.yml, so
# that both ways test the same store. RELEASE... tags are no versions to Go, so the pin is the commit's pseudo-version.
readonly MINIO_RELEASE=RELEASE.2025-09-07T16-13-09Z
readonly MINIO_MODULE=github.com/minio/minio@v0.0.0-20250907161309-07c3a429bfed
readonly S3S_FS_VERSION=0.14.1

readonly MINIO_START_LIMIT=60
# s3s-fs builds in about 100 s on two idle cores; MinIO is several times its size, and the cores may be shared.
readonly BUILD_LIMIT=1500

readonly S3_ACCESS_KEY=antispoof
readonly S3_SECRET_KEY=antispoof-secret

# The programs that can serve, the better one first.
minio_program() {
  if [[ ${ANTISPOOF_SERVICES_S3:-} != s3s-fs ]]; then
    if [[ -x $bin/minio ]]; then printf '%s' "$bin/minio"; return; fi
    if command -v minio; then return; fi
  fi
  if [[ ${ANTISPOOF_SERVICES_S3:-} != minio ]]; then
    if [[ -x $bin/s3s-fs ]]; then printf '%s' "$bin/s3s-fs"; return; fi
  fi
  return 1
}

minio_install() {
  ! minio_program >/dev/null || return 0
  lock_installs
  # Whoever held the lock may have built it.
  if ! minio_program >/dev/null; then
    mkdir -p "$bin"
    build_minio || build_s3s_fs ||
      fail "no object store could be built" "install Go or Rust, or set ANTISPOOF_TEST_S3_ENDPOINT and its two keys (CONTRIBUTING.md)"
  fi
  unlock_installs
}

build_minio() {
  [[ ${ANTISPOOF_SERVICES_S3:-} != s3s-fs ]] && command -v go >/dev/null || return 1
  say "minio: building $MINIO_RELEASE from its Go module (once; some minutes, log: .services/build/minio.log)"
  local since
  since=$(now_ms)
  # The working directory is not a module, so that ours never answers for theirs.
  if in_build_dir minio env GOBIN="$bin" GOFLAGS= CGO_ENABLED=0 \
    go install -trimpath -ldflags '-s -w' "$MINIO_MODULE"; then
    say "minio: built in $(took "$since")"
    return
  fi
  say "minio: not to be had: $(tail -n 1 "$services_dir/build/minio.log" | cut -c1-160)"
  return 1
}

build_s3s_fs() {
  [[ ${ANTISPOOF_SERVICES_S3:-} != minio ]] && command -v cargo >/dev/null || return 1
  say "minio: building s3s-fs $S3S_FS_VERSION in its place (once; some minutes, log: .services/build/s3s-fs.log)"
  local since
  since=$(now_ms)
  if in_build_dir s3s-fs cargo install s3s-fs --version "=$S3S_FS_VERSION" --features binary --locked \
    --root "$services_dir/build/s3s-fs" --target-dir "$services_dir/build/s3s-fs/target" --no-track; then
    mv "$services_dir/build/s3s-fs/bin/s3s-fs" "$bin/s3s-fs"
    rm -rf "$services_dir/build/s3s-fs"
    say "minio: s3s-fs built in $(took "$since")"
    return
  fi
  tail_log "$services_dir/build/s3s-fs.log"
  return 1
}

minio_start() {
  local data=$state/minio program
  mkdir -p "$data/data"
  program=$(minio_program)
  if [[ ${program##*/} == minio ]]; then
    launch "$state/minio.pid" "$data/minio.log" env \
      MINIO_ROOT_USER="$S3_ACCESS_KEY" MINIO_ROOT_PASSWORD="$S3_SECRET_KEY" MINIO_UPDATE=off HOME="$data" \
      "$program" server --certs-dir "$data/certs" \
      --address "127.0.0.1:$(port minio)" --console-address "127.0.0.1:$(port minio 1)" "$data/data"
  else
    launch "$state/minio.pid" "$data/minio.log" env RUST_LOG=warn \
      "$program" --host 127.0.0.1 --port "$(port minio)" \
      --access-key "$S3_ACCESS_KEY" --secret-key "$S3_SECRET_KEY" "$data/data"
  fi
}

minio_ready() {
  local pid
  pid=$(running "$state/minio.pid") || return 1
  listens "$pid" "$(port minio)" || return 1
  if [[ $(basename "$(minio_program)") == minio ]]; then
    [[ $(http_status "$(port minio)" /minio/health/live) == 200 ]]
  else
    # It has no health page: refusing an unsigned request is the proof that it serves.
    [[ $(http_status "$(port minio)" /) == 403 ]]
  fi
}

minio_log() { printf '%s' "$state/minio/minio.log"; }

minio_stop() { stop "$state/minio.pid" TERM; }

minio_env() {
  printf 'export ANTISPOOF_TEST_S3_ENDPOINT=%q\n' "http://127.0.0.1:$(port minio)"
  printf 'export ANTISPOOF_TEST_S3_ACCESS_KEY=%q\n' "$S3_ACCESS_KEY"
  printf 'export ANTISPOOF_TEST_S3_SECRET_KEY=%q\n' "$S3_SECRET_KEY"
}
