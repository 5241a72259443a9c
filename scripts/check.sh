#!/usr/bin/env bash
# Static checks: format, spelling, dependencies, lints. `make check` installs what is missing first.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/tools/bin
step() { printf '\n== %s\n' "$*"; "$@"; }

scripts/tools.sh
export PATH=$tools:$PATH

step cargo fmt --all --check
step typos
step cargo-machete --with-metadata --skip-target-dir
step cargo-deny --locked --workspace check bans licenses sources
# Advisories are a database of their own, which is fetched anew each time.
if cargo-deny fetch db >/dev/null 2>&1; then
    step cargo-deny --locked --workspace check advisories
else
    printf '\ncheck: the database of security advisories cannot be reached: advisories are NOT checked\n'
fi
# `make mutations` takes long and runs seldom: here a patch that no longer fits the code is noticed at once.
for patch in lab/faults/mutations/*.patch; do
    step git apply --check "$patch"
done
step cargo clippy --workspace --all-targets --locked -- -D warnings
