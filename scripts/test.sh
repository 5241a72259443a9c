#!/usr/bin/env bash
# All that must hold before a change is done. `make test` installs what is missing first.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/check.sh
printf '\n== cargo test --workspace --locked\n'
cargo test --workspace --locked
