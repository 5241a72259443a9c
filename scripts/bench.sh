#!/usr/bin/env bash
# Measures Florin, its broker and its database side by side on servers of its own, and writes target/bench/.
# Arguments go to `florin-benchmarks run`, such as --quick or --only single,batches.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked --package florin --package florin-benchmarks
exec "${CARGO_TARGET_DIR:-target}/release/florin-benchmarks" run "$@"
