# The worker in an image without a shell.
#
#   docker build -t antispoofd --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" --build-arg REVISION_DATE="$(git show -s --format=%cs)" .
#   docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max -t REGISTRY/antispoofd:0.1.0 --push .
#
# The build runs on the builder's own architecture and compiles for the target's; nothing is emulated. Pin the two base images by digest in your own pipeline:
# --build-arg RUST_IMAGE=…@sha256:… --build-arg RUNTIME_IMAGE=…@sha256:…

ARG RUST_IMAGE=rust:1.95-bookworm
# glibc 2.41, newer than that of the build; certificate authorities are in it.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot

FROM --platform=${BUILDPLATFORM} ${RUST_IMAGE} AS build
ARG BUILDARCH
ARG TARGETARCH
# release, or dev for a quick look.
ARG PROFILE=release
# Puts the list of crates into the binary (5 KiB), where scanners of images look for it. Empty: built without.
ARG AUDITABLE=cargo-auditable@0.7.7
WORKDIR /build

RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    if [ -n "${AUDITABLE}" ]; then cargo install --locked --target-dir /tmp/auditable "${AUDITABLE}" && rm -rf /tmp/auditable; fi

# A compiler, a linker and a C library for the other architecture, where it is another.
# hadolint ignore=DL3008  # the distribution keeps one version of them
RUN case "${TARGETARCH}" in \
      amd64) triple=x86_64-unknown-linux-gnu; cross=x86-64-linux-gnu; cc=x86_64-linux-gnu-gcc ;; \
      arm64) triple=aarch64-unknown-linux-gnu; cross=aarch64-linux-gnu; cc=aarch64-linux-gnu-gcc ;; \
      *) echo "no build for '${TARGETARCH}': amd64 or arm64, and BuildKit, which says which" >&2; exit 1 ;; \
    esac; \
    echo "${triple}" >/triple; \
    if [ "${TARGETARCH}" = "${BUILDARCH}" ]; then exit 0; fi; \
    apt-get update && \
    apt-get install -y --no-install-recommends "gcc-${cross}" "libc6-dev-${TARGETARCH}-cross" && \
    rm -rf /var/lib/apt/lists/* && \
    rustup target add "${triple}" && \
    printf '[target.%s]\nlinker = "%s"\n' "${triple}" "${cc}" >"${CARGO_HOME}/config.toml"

# The dependencies in a layer of their own: it is made anew when a manifest or the lock changes, not when a source does.
COPY Cargo.toml Cargo.lock ./
COPY core/Cargo.toml core/
COPY benches/driver/Cargo.toml benches/driver/
COPY benches/floor/Cargo.toml benches/floor/
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    mkdir -p src core/src core/benches benches/driver/src benches/floor/src && \
    touch src/lib.rs core/src/lib.rs core/benches/encode.rs benches/ledger.rs && \
    for crate in . benches/driver benches/floor; do echo 'fn main() {}' >"${crate}/src/main.rs"; done && \
    cargo ${AUDITABLE:+auditable} build --locked --profile "${PROFILE}" --target "$(cat /triple)" --package antispoofd --bin antispoofd

COPY config/default.toml config/
COPY scripts/third-party scripts/
COPY core core
COPY build.rs ./
COPY src src
# The checkout is not there to be asked: what `--version` names beside the number.
ARG REVISION=unknown
ARG REVISION_DATE=
# The time of the stand-ins above is later than that of the sources; cargo would take them for unchanged.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    touch src/lib.rs src/main.rs core/src/lib.rs && \
    export ANTISPOOFD_REVISION="${REVISION}" ANTISPOOFD_REVISION_DATE="${REVISION_DATE}" && \
    cargo ${AUDITABLE:+auditable} build --locked --profile "${PROFILE}" --target "$(cat /triple)" --package antispoofd --bin antispoofd && \
    mkdir -p /root-of-image/usr/local/bin /root-of-image/var/lib/antispoofd /root-of-image/etc/antispoofd /root-of-image/usr/share/doc/antispoofd && \
    directory="${PROFILE}"; if [ "${PROFILE}" = dev ]; then directory=debug; fi; \
    install "target/$(cat /triple)/${directory}/antispoofd" /root-of-image/usr/local/bin/ && \
    scripts/third-party "$(cat /triple)" >/root-of-image/usr/share/doc/antispoofd/THIRD-PARTY.txt
COPY LICENSE /root-of-image/usr/share/doc/antispoofd/

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="antispoofd" \
      org.opencontainers.image.description="RabbitMQ jobs naming face images in S3, streamed into a spoof-detection API, verdict events out" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /root-of-image/usr /usr
COPY --from=build /root-of-image/etc /etc
# For a ledger in a file; mount a volume there.
COPY --from=build --chown=65532:65532 /root-of-image/var/lib/antispoofd /var/lib/antispoofd
USER 65532:65532
WORKDIR /var/lib/antispoofd
# Metrics and health, when admin.listen is 0.0.0.0:9464.
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/antispoofd", "health"]
ENTRYPOINT ["/usr/local/bin/antispoofd"]
CMD ["run"]
