#!/usr/bin/env bash
# All that must hold before a change is done. `make test` installs what is missing first.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
# tests/dependencies.rs checks licences, sources and versions of what we depend on, offline.
step cargo test --workspace --locked
