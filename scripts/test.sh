#!/usr/bin/env bash
# All that must hold before a change is done. `make test` installs what is missing first.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

scripts/check.sh
step cargo test --workspace --locked
