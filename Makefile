# What CI runs is what a human runs: .ci/run calls `check`, `chart` and `test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build fmt generate check test test-compose soak chaos cluster demo bench instructions fuzz services-up services-down clean-services chart chart-update contract sbom workflows

# Arguments for `make test`, `make demo`, `make bench`, `make instructions`: make test ARGS='--lib -- retry'
ARGS ?=

bash_scripts = $(shell grep -lE '^\#!/usr/bin/env bash' scripts/* .ci/* 2>/dev/null)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the release binary, target/release/antispoofd
	cargo build --release --locked

fmt: ## format the sources
	cargo fmt --all

generate: ## write docs/configuration.md and config/antispoofd.schema.json anew
	cargo build --quiet --locked
	$${CARGO_TARGET_DIR:-target}/debug/antispoofd config reference > docs/configuration.md
	$${CARGO_TARGET_DIR:-target}/debug/antispoofd config schema > config/antispoofd.schema.json

check: ## formatting, lints, documentation, scripts, module and crate dependencies, generated files, instruction counts; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --workspace --locked
	@for script in $(bash_scripts) scripts/lib/*.sh scripts/lib/cluster/*.sh; do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck -x $(bash_scripts); else echo "shellcheck is not installed: skipped"; fi
	@scripts/version
	cargo test --quiet --locked --test architecture
	cargo test --quiet --locked --test generated
	cargo test --quiet --locked --test documents
	cargo test --quiet --locked --test it -- contract::documents contract::examples
	@scripts/instructions
	@if cargo deny --version >/dev/null 2>&1; then \
	    for manifest in Cargo.toml fuzz/Cargo.toml; do \
	      cargo deny --locked --manifest-path $$manifest --config deny.toml check --hide-inclusion-graph bans licenses sources || exit 1; \
	    done; \
	  else echo "cargo-deny is not installed: dependencies are not held against deny.toml"; fi

test: ## the whole test suite against real RabbitMQ, S3 store and Redis (ARGS goes to cargo test)
	@scripts/test $(ARGS)

test-compose: ## the image and docker-compose.yml tried, then the test suite against their services (a Docker engine is needed)
	@scripts/test-compose $(ARGS)

soak: ## many jobs while workers are killed and connections cut (ARGS: --jobs 2000 --kills 5 --cuts 5 --seed N)
	@scripts/soak $(ARGS)

chaos: ## everything goes wrong at once, and an oracle counts (ARGS: --jobs 20000 --replicas 3 --ledger redis --faults 60 --seed N)
	@scripts/chaos $(ARGS)

cluster: ## our chart on a real Kubernetes made from package registries, scenes under load, an oracle (root; ARGS: --list, --scenes upgrade,eviction, --keep)
	@scripts/cluster $(ARGS)

demo: ## everything from a bare checkout to printed verdicts
	@scripts/demo $(ARGS)

bench: ## the benchmarks
	@scripts/bench $(ARGS)

instructions: ## instructions and allocations of the parts of a job against the baseline (ARGS: --update, --release)
	@scripts/instructions $(ARGS)

# Seconds for each target of `make fuzz`, and which targets.
TIME ?= 60
TARGETS ?= job_decode image_inspect vendor_answer settings_load request_body

fuzz: ## each fuzz target for TIME seconds (cargo-fuzz and a nightly compiler are needed)
	@for target in $(TARGETS); do \
	  mkdir -p fuzz/corpus/$$target && \
	  cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(TIME) -max_len=4096 -timeout=10 -print_final_stats=1 || exit 1; \
	done

chart: ## the Helm chart and the kustomize base, checked without a cluster (Go, Python, npm and the Debian packages are needed)
	@scripts/chart check

chart-update: ## what in deploy/ is made from other files, made anew
	@scripts/chart update

contract: ## schemas and examples/ in the tools and languages of consumers (what is there of Node, Python, Go, Java; ARGS: --all, schemas, examples)
	@scripts/contract $(ARGS)

sbom: ## what is linked in, as CycloneDX, and the licences' texts: target/sbom (Python is needed)
	@scripts/sbom

workflows: ## the files of .github held against schema and linters (Go and Python are needed)
	@scripts/workflows

services-up: ## start RabbitMQ, the S3 store and Redis, and wait until they answer
	@scripts/services up

services-down: ## stop what services-up started; the data stays
	@scripts/services down

clean-services: ## stop the services and delete their data
	@scripts/services clean
